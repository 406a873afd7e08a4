#!/usr/bin/env bash
# Start every process of this program on this machine and wait for them:
#   launch/local.sh [arguments of train.py]
# PYTHON names the interpreter. The exit code is the program's. TERM, INT, HUP and USR2 reach
# every process, which then saves a checkpoint and leaves with 75.
set -uo pipefail

# What another launcher, around this one, has told its own processes is not for ours.
unset RANK LOCAL_RANK WORLD_SIZE NODE_RANK PYTHONSAFEPATH "${!TORCHELASTIC_@}"

program=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd) || exit
python=${PYTHON:-python3}
"$python" "$program/launch/needs.py" || exit

settings=$("$python" -c '
import os, socket, sys
sys.path.insert(0, sys.argv[1])
sys.dont_write_bytecode = True
from launcher import WORLD
with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
print(WORLD, port, max(1, len(os.sched_getaffinity(0)) // WORLD))
' "$program") || exit
read -r world port threads <<<"$settings"

export WORLD_SIZE=$world MASTER_ADDR=127.0.0.1 MASTER_PORT=$port
[[ ${OMP_NUM_THREADS:-} =~ ^[1-9][0-9,]*$ ]] || OMP_NUM_THREADS=$threads
export OMP_NUM_THREADS

# In braces, so that bash has read all of it before a signal can come in between.
{
    children=()
    asked=
    signalled=
    # shellcheck disable=SC2317,SC2329 # the traps call it
    pass_on() {
        asked=yes
        signalled=yes
        kill -s "$1" "${children[@]}" 2>/dev/null
    }
    trap 'pass_on TERM' TERM INT
    trap 'pass_on USR2' USR2
    trap '' HUP # for the processes: where a terminal is lost, TERM tells them
    trap 'kill -s KILL "${children[@]}" 2>/dev/null' EXIT

    for ((rank = 0; rank < world; rank++)); do
        RANK=$rank LOCAL_RANK=$rank "$python" "$program/train.py" "$@" &
        children+=($!)
    done
    trap 'pass_on TERM' HUP

    # When one fails, the others get ten seconds: they may be waiting for it in a collective.
    code=0
    while ((code == 0)) && [[ -n $(jobs -rp) ]]; do
        signalled=
        wait -n 2>/dev/null
        status=$?
        [[ -n $signalled ]] || code=$status
    done
    for rank in "${!children[@]}"; do
        if [[ -z $asked ]] && ((code > 128)) && ! kill -s 0 "${children[rank]}" 2>/dev/null; then
            wait "${children[rank]}" 2>/dev/null
            (($? != code)) || echo "local.sh: signal $(kill -l "$code") ended process $rank" >&2
        fi
    done
    case $asked$code in
    yes129 | yes130 | yes140 | yes143) code=75 ;; # before training began: nothing is lost
    esac
    for ((tenths = 0; tenths < 100; tenths++)); do
        [[ -n $(jobs -rp) ]] || break
        sleep 0.1
    done
    kill -s KILL "${children[@]}" 2>/dev/null
    for child in "${children[@]}"; do
        wait "$child" 2>/dev/null
        status=$?
        ((code != 0)) || code=$status
    done
    exit "$code"
}
