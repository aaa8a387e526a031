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

# Signals are for the command, which stands in the same process group; this shell waits for it.
trap : TERM USR1 INT
"$@" 2> >(trap '' TERM USR1 INT; exec tee -a "$folder/$name.err" >&2) </dev/null &
command=$!
while :; do
  wait "$command"
  code=$?
  kill -0 "$command" 2>/dev/null || break
done
# A signal may have ended the wait at the moment in which the command ended.
wait "$command" 2>/dev/null
again=$?
[ "$again" -eq 127 ] || code=$again

printf '%s %s %s\n' "$code" "$(date +%s%N)" "${SLURMD_NODENAME:-$(uname -n)}" \
  >"$folder/$name.part"
mv "$folder/$name.part" "$folder/$name.exit"
# Stopped and saved: no reason for srun to kill the ranks that are not through yet.
[ "$code" -eq 75 ] && exit 0
exit "$code"
