#!/bin/bash
# In a container: gives the process a home and caches that it can write, then becomes its command.
#
#   bash enter.sh COMMAND...
#
# The home of the image's user may be read-only, and the submitter's is not mounted. Triton, Inductor
# and CUDA keep compiled kernels; each node has its own, for this job alone.
set -u
scratch=${GEO_NEMO_SCRATCH:-/tmp/geo-nemo-$(id -u)-${SLURM_JOB_ID:-0}}
mkdir -p "$scratch/home" 2>/dev/null || {
  echo "geo-nemo job ${SLURM_JOB_ID:-?}: cannot write in $scratch in the container: set GEO_NEMO_SCRATCH in slurm.env_file to a folder that it can write" >&2
  exit 2
}
[ -n "${HOME:-}" ] && [ -d "$HOME" ] && [ -w "$HOME" ] || export HOME=$scratch/home
exec "$@"
