#!/usr/bin/env bash
# Start this node's processes of a run on 2,048 nodes, by torchrun. On each node, without a scheduler:
#   MASTER_ADDR=node0 NODE_RANK=0 launch/multinode.sh [arguments of train.py]
# with the same MASTER_ADDR everywhere, and NODE_RANK from 0, on the node of that name, to 2047. The
# environment may name PYTHON, and MASTER_PORT, a free port of node 0. launch/site.sh, if you write
# one, is read before anything starts. TERM reaches every process, which then saves a checkpoint and
# leaves; torchrun gives it 30 seconds. The exit code is torchrun's: 0, or 1 whatever it was; 78
# before it starts, where these variables are wrong or a package is missing.
set -uo pipefail

nodes=2048
devices=8

program=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd) || exit
number='^(0|[1-9][0-9]{0,8})$' # as bash reads it: 08 would be octal
if [[ -z ${MASTER_ADDR:-} || ! ${NODE_RANK:-} =~ $number ]] || ((NODE_RANK >= nodes)); then
    echo "multinode.sh: set MASTER_ADDR to node 0, and NODE_RANK to 0 ... $((nodes - 1))" >&2
    exit 78
fi

# What another launcher, around this one, has told its own processes is not for ours.
unset RANK LOCAL_RANK WORLD_SIZE PYTHONSAFEPATH "${!TORCHELASTIC_@}" "${!PET_@}"

threads=$(($(nproc) / devices))
[[ ${OMP_NUM_THREADS:-} =~ ^[1-9][0-9,]*$ ]] || OMP_NUM_THREADS=$((threads > 0 ? threads : 1))
export OMP_NUM_THREADS
export PYTHONPATH=$program${PYTHONPATH:+:$PYTHONPATH}
ulimit -Sn "$(ulimit -Hn)" # process 0 keeps a connection to each of the others
export PYTORCH_ALLOC_CONF=${PYTORCH_ALLOC_CONF:-expandable_segments:True}
if [[ -r $program/launch/site.sh ]]; then
    # shellcheck source=/dev/null
    source "$program/launch/site.sh"
fi

python=${PYTHON:-python3}
"$python" "$program/launch/needs.py" || exit

# A static rendezvous numbers ranks by NODE_RANK; others go by address, and tensor-parallel groups
# would straddle nodes.
torchrun=("$python" -m torch.distributed.run
    --nnodes="$nodes" --nproc-per-node="$devices" --node-rank="$NODE_RANK"
    --master-addr="$MASTER_ADDR" --master-port="${MASTER_PORT:-29500}" --max-restarts=0)
# After `--` nothing is torchrun's: it would take --run for one of its own.
"${torchrun[@]}" -- "$program/launch/preflight.py" "$@" || exit
exec "${torchrun[@]}" -- "$program/train.py" "$@"
