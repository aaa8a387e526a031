#!/bin/bash
# Checks one node before a run starts on it; one task of it on each node.
#
#   srun --ntasks-per-node=1 bash health.sh FOLDER GPUS OUTPUT [PATH]...
#
# GPUS: how many the node must have; 0 leaves the checks of GPUs out. OUTPUT: the run's folder.
# PATH: what the job's first node sees, and so must this one.
# Writes FOLDER/<node>, a finding a line: `fault TEXT` the node is not fit, `note TEXT` worth
# knowing; then `time SECONDS`, the node's clock, which says that the checks came to their end.
# GEO_NEMO_MIN_FREE_GB: free space that OUTPUT must have (default 50).
set -u
folder=$1 gpus=$2 output=$3
node=${SLURMD_NODENAME:-$(uname -n)}
found=$folder/$node.part
{ : >"$found"; } 2>/dev/null

tell() { { printf '%s\n' "$*" >>"$found"; } 2>/dev/null; }
fault() { tell "fault $*"; }
note() { tell "note $*"; }

# Prints a table of what nvidia-smi knows of each GPU; a field that this driver lacks is left out.
ask() { timeout 60 nvidia-smi --query-gpu="$1" --format=csv,noheader,nounits 2>/dev/null; }

check_gpus() {
  local listed count devices
  if ! command -v nvidia-smi >/dev/null; then
    # A tool that is not there is no fault of a GPU: it may be in the container alone.
    devices=$(find "${GEO_NEMO_DEV:-/dev}" -maxdepth 1 -name 'nvidia[0-9]*' 2>/dev/null | wc -l)
    if [ "$devices" -ge "$gpus" ]; then
      note "no nvidia-smi: GPUs are counted, and not looked at"
    else
      fault "no nvidia-smi, and $devices GPUs in /dev, not $gpus"
    fi
    return
  fi
  if ! listed=$(timeout 60 nvidia-smi -L 2>&1); then
    fault "nvidia-smi fails: $(head -n 1 <<<"$listed")"
    return
  fi
  count=$(grep -c '^GPU ' <<<"$listed")
  # On a node that is shared more may be listed than the job has.
  [ "$count" -ge "$gpus" ] || fault "$count GPUs, not $gpus"
  while IFS=', ' read -r index value; do
    [[ $value =~ ^[1-9][0-9]*$ ]] && fault "GPU $index has $value ECC errors that were not corrected"
  done < <(ask index,ecc.errors.uncorrected.volatile.total)
  while IFS=', ' read -r index pending failure; do
    [ "$failure" = Yes ] && fault "GPU $index could not remap a row of its memory"
    [ "$pending" = Yes ] && fault "GPU $index must be reset: a row of its memory waits to be remapped"
  done < <(ask index,remapped_rows.pending,remapped_rows.failure)
  while IFS=', ' read -r index slow brake; do
    [ "$slow" = Active ] && fault "GPU $index is slowed down by heat"
    [ "$brake" = Active ] && fault "GPU $index is slowed down by its power supply"
  done < <(
    ask index,clocks_event_reasons.hw_thermal_slowdown,clocks_event_reasons.hw_power_brake_slowdown ||
      ask index,clocks_throttle_reasons.hw_thermal_slowdown,clocks_throttle_reasons.hw_power_brake_slowdown
  )
  while IFS=', ' read -r index used; do
    [[ $used =~ ^[0-9]+$ ]] && [ "$used" -gt 2048 ] &&
      note "GPU $index has $used MiB in use before the run"
  done < <(ask index,memory.used)
  if command -v dcgmi >/dev/null; then
    local told code
    told=$(timeout 300 dcgmi diag -r 1 2>&1)
    code=$?
    # 226 and the like say that no host engine runs, which is no fault of a GPU.
    if grep -q '| Fail' <<<"$told"; then
      fault "dcgmi diag -r 1:$(grep -m 1 '| Fail' <<<"$told" | tr -s ' |' ' ' | head -c 120)"
    elif [ "$code" -ne 0 ]; then
      note "dcgmi diag -r 1 could not be run (exit $code)"
    fi
  fi
}

check_disk() {
  local probe=$output/slurm/.probe-$node-$$ free
  free=$(df -P -B 1 "$output" 2>/dev/null | awk 'NR == 2 { print int($4 / 1024^3), $4 }')
  if ! { printf geo_nemo >"$probe" && [ "$(cat "$probe")" = geo_nemo ]; } 2>/dev/null; then
    # A full disk is the same on every node: it is for the user, not for the node.
    if [ "${free##* }" = 0 ]; then note "no space left in $output"; else fault "cannot write in $output"; fi
  fi
  rm -f "$probe"
  free=${free%% *}
  [ "${free:-0}" -ge "${GEO_NEMO_MIN_FREE_GB:-50}" ] ||
    note "only $free GB free in $output (GEO_NEMO_MIN_FREE_GB=${GEO_NEMO_MIN_FREE_GB:-50})"
  free=$(df -P -B 1M /dev/shm 2>/dev/null | awk 'NR == 2 { print $4 }')
  [ "$gpus" -eq 0 ] || [ "${free:-0}" -ge 1024 ] ||
    fault "/dev/shm has ${free:-0} MiB free; NCCL and data workers need 1024"
}

check_paths() {
  local path
  for path in "$@"; do
    stat -- "$path" >/dev/null 2>&1 || fault "does not see $path, which the first node sees"
  done
}

[ "$gpus" -eq 0 ] || check_gpus
check_disk
check_paths "${@:4}"
tell "time $(date +%s)"
mv "$found" "$folder/$node"
