#!/bin/bash
# One process of a step: runs a command and leaves behind how it ended.
#
#   srun ... bash rank.sh FOLDER COMMAND...
#
# FOLDER/rank_00003.exit: exit code, nanoseconds since the epoch, node; FOLDER/rank_00003.err: what
# the process wrote to stderr. srun keeps the largest code of all, and kills the ranks that wait for
# a dead one, so the cause is the code that came first.
set -u
folder=$1
shift
name=$(printf 'rank_%05d' "${SLURM_PROCID:-0}")

# Binds this process to the cores and memory beside its GPU, where the node tells them: GPU number
# SLURM_LOCALID, whose place in the machine nvidia-smi and /sys know.
bound=()
bind_to_gpu() {
  local bus node sys=${GEO_NEMO_SYS:-/sys}
  bus=$(nvidia-smi --query-gpu=pci.bus_id --format=csv,noheader 2>/dev/null |
    sed -n "$((${SLURM_LOCALID:-0} + 1))p" | tr '[:upper:]' '[:lower:]')
  # nvidia-smi has eight digits of the domain, /sys has four.
  node=$(cat "$sys/bus/pci/devices/${bus#0000}/numa_node" 2>/dev/null) || return 0
  [[ $node =~ ^[0-9]+$ ]] || return 0
  bound=(numactl --cpunodebind="$node" --preferred="$node")
  "${bound[@]}" true 2>/dev/null ||
    bound=(taskset --cpu-list "$(cat "$sys/devices/system/node/node$node/cpulist" 2>/dev/null)")
  # The job may have no core there.
  "${bound[@]}" true 2>/dev/null || bound=()
}
[ "${GEO_NEMO_NUMA:-1}" != 1 ] || [ "${GEO_NEMO_GPUS:-0}" -eq 0 ] || bind_to_gpu

# Signals are for the command, which stands in the same process group; this shell waits for it.
trap : TERM USR1 INT
exec {errors}> >(trap '' TERM USR1 INT; exec tee -a "$folder/$name.err" >&2 2>/dev/null)
writer=$!
"${bound[@]}" "$@" 2>&"$errors" {errors}>&- </dev/null &
command=$!
exec {errors}>&-
while :; do
  # Of a process that is killed the shell would tell its own words.
  { wait "$command"; } 2>/dev/null
  code=$?
  kill -0 "$command" 2>/dev/null || break
done
# A signal may have ended the wait at the moment in which the command ended.
wait "$command" 2>/dev/null
again=$?
[ "$again" -eq 127 ] || code=$again
# The job reads these errors as soon as it knows the code. Not for ever: a process that the command
# left behind may hold them open.
for _ in {1..50}; do
  kill -0 "$writer" 2>/dev/null || break
  sleep 0.1
done

# A full disk takes no file; the job then goes by srun's own exit code.
{ printf '%s %s %s\n' "$code" "$(date +%s%N)" "${SLURMD_NODENAME:-$(uname -n)}" \
  >"$folder/$name.part" && mv "$folder/$name.part" "$folder/$name.exit"; } 2>/dev/null
# Stopped and saved: no reason for srun to kill the ranks that are not through yet.
[ "$code" -eq 75 ] && exit 0
exit "$code"
