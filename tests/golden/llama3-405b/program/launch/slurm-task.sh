#!/usr/bin/env bash
# One process of a step of slurm.sbatch: COMMAND, told its place among the others.
#   launch/slurm-task.sh COMMAND [ARGUMENTS]
set -uo pipefail

if [[ -z ${SLURM_PROCID:-} || -z ${EXIT_CODES:-} ]]; then
    echo "slurm-task.sh: launch/slurm.sbatch starts this, in each process of a job" >&2
    exit 78
fi
unset "${!TORCHELASTIC_@}" # of a torchrun around the job
export RANK=$SLURM_PROCID LOCAL_RANK=$SLURM_LOCALID WORLD_SIZE=$SLURM_NTASKS
ulimit -Sn "$(ulimit -Hn)" # process 0 keeps a connection to each of the others

# Signals to the step reach the command as well. What it does with them is its own.
trap : TERM USR2
"$@"
code=$?
((code != 2)) || code=78 # of Python and argparse: an argument that they do not know

# Where one process leaves and others must be ended, srun knows only of those.
case $code in
71 | 75 | 78) echo "$code" >>"$EXIT_CODES" ;;
esac
exit "$code"
