# What the jobs of this folder share. Sourced by train.sbatch and command.sbatch.
# shellcheck shell=bash
# What is set here is used there.
# shellcheck disable=SC2034

# What a user's shell hides from squeue and sinfo would be no job and no node here.
unset "${!SQUEUE_@}" "${!SINFO_@}"
# Jobs and nodes of hidden partitions, too.
export SQUEUE_ALL=1 SINFO_ALL=1

# Where a tuning goes on until it is whole; empty for a training.
partial=

say() { printf 'geo-nemo job %s: %s\n' "${SLURM_JOB_ID:-?}" "$*" >&2; }

# A mistake of the user's: said in one line, and never requeued.
refuse() {
  say "$*"
  exit 2
}

# Writes one line to a file, or says nothing: on a full disk a log of the shell's errors helps nobody.
put() { # FILE TEXT
  { printf '%s\n' "$2" >"$1"; } 2>/dev/null
}

# Makes the folders of a job; its first is the output. A disk without room is said here.
make_folders() {
  mkdir -p "$@" 2>/dev/null || refuse "cannot write in $1"
  put "$1/.room" geo_nemo || refuse "cannot write in $1: no space left, or no right to; mend that"
  rm -f "$1/.room"
}

# Sets output, store, config and words from the file of `geo-nemo launch` that was sourced; an array's
# task takes its own run. take_launched FILE
take_launched() {
  local task=${SLURM_ARRAY_TASK_ID:-0} hash launched configs hashes outputs stores partials
  # shellcheck disable=SC2154  # the file sets launch_...
  {
    launched=$launch_file configs=("${launch_configs[@]}") hashes=("${launch_hashes[@]}")
    outputs=("${launch_outputs[@]}") stores=("${launch_stores[@]}") words=("${launch_command[@]}")
    partials=("${launch_partials[@]:-}")
  }
  [ "$launched" = "$1" ] || refuse "the settings $1 are those of $launched: launch this run itself"
  config=${configs[task]:-}
  [ -n "$config" ] || refuse "the settings $1 have no run $task"
  output=${outputs[task]}
  store=${stores[task]}
  partial=${partials[task]:-}
  hash=$(sha256sum 2>/dev/null <"$config" | cut -d ' ' -f 1)
  [ -n "$hash" ] || refuse "the config $config cannot be read"
  [ "$hash" = "${hashes[task]}" ] ||
    refuse "the config $config is not as geo-nemo launch wrote it: launch the run again"
  words+=("$config")
}

# Leads from the run's folder to the log of this job, which an array has elsewhere. link_log FOLDER
link_log() {
  local log
  log=$(scontrol show job "$SLURM_JOB_ID" 2>/dev/null | sed -n 's/^ *StdOut=//p')
  [ -f "$log" ] && [ "$(dirname "$log")" != "$1" ] || return 0
  ln -sfn "$log" "$1/train-$SLURM_JOB_ID.out" 2>/dev/null
}

# The value of key=value among the arguments; empty where there is none. setting KEY ARGUMENT...
setting() {
  local key=$1 argument value=""
  shift
  for argument in "$@"; do
    case $argument in "$key="* | "++$key="*) value=${argument#*=} ;; esac
  done
  value=${value#\'}
  printf '%s\n' "${value%\'}"
}

# Sets `command` to the words of GEO_NEMO_COMMAND, with a shell's quotation marks; runs none of it.
read_command() {
  local words
  words=$(xargs printf '%s\n' <<<"${GEO_NEMO_COMMAND:-geo-nemo}" 2>/dev/null) ||
    refuse "GEO_NEMO_COMMAND=$GEO_NEMO_COMMAND: a quotation mark is not closed"
  mapfile -t command <<<"$words"
}

# Takes secrets and site settings from a file of the cluster's own. Nothing of it is printed.
read_environment_file() {
  local file=${GEO_NEMO_ENV_FILE:-} mode options loaded
  [ -n "$file" ] || return 0
  { set +x; } 2>/dev/null
  [ -r "$file" ] || refuse "GEO_NEMO_ENV_FILE=$file cannot be read"
  mode=$(stat -L -c %a "$file")
  case $mode in
    *00) ;;
    *) refuse "GEO_NEMO_ENV_FILE=$file can be read by others (mode $mode): chmod 600 $file" ;;
  esac
  # A site's files are written for the shell's own options, and may set others: `module load` asks
  # for variables that are not set, at which this script would end without a word.
  options=$(set +o)
  set -a +u
  # shellcheck source=/dev/null
  . "$file" >/dev/null 2>&1
  loaded=$?
  { eval "$options"; } 2>/dev/null
  [ "$loaded" -eq 0 ] || refuse "GEO_NEMO_ENV_FILE=$file does not load as a shell file (exit $loaded)"
}

# Sets of_srun and inside: how a step gets into the container. container_start FOLDER...
container_start() {
  local image=${GEO_NEMO_CONTAINER:-} runtime=${GEO_NEMO_RUNTIME:-} mounts mount flags=() folders=()
  of_srun=()
  inside=()
  if [ -z "$image" ]; then
    case $runtime in "" | none) return 0 ;; esac
    refuse "GEO_NEMO_RUNTIME=$runtime, but GEO_NEMO_CONTAINER names no image"
  fi
  # docker://... and registry#name are fetched by the runtime; a path must be there.
  case $image in
    *://* | *\#*) ;;
    *) [ -e "$image" ] || refuse "no container $image: give an image that this node sees" ;;
  esac
  if [ -z "$runtime" ]; then
    case $image in *.sif) runtime=apptainer ;; *) runtime=pyxis ;; esac
  fi
  # A comma or a colon would part a list of mounts: runs of a sweep have one in their names.
  for mount in "$@"; do
    while [[ $mount == *[,:]* ]]; do mount=$(dirname "$mount"); done
    [ "$mount" != / ] || refuse "$1: a container cannot be given a folder of / with , or : in its name: rename it"
    folders+=("$mount")
  done
  mounts=$(IFS=,; printf '%s' "${folders[*]}")${GEO_NEMO_MOUNTS:+,$GEO_NEMO_MOUNTS}
  case $runtime in
    pyxis)
      grep -q -- --container-image <<<"$(srun --help 2>&1)" ||
        refuse "no pyxis here: srun knows no --container-image; take slurm.runtime=apptainer, or leave slurm.container out"
      # pyxis wants source:target; a path alone stands for both.
      local listed=()
      while IFS= read -r -d , mount; do
        case $mount in *:*) listed+=("$mount") ;; *) listed+=("$mount:$mount") ;; esac
      done <<<"$mounts,"
      mounts=$(IFS=,; printf '%s' "${listed[*]}")
      # By a name, the first step of a node imports the image and the others find it.
      of_srun=(--container-image="$image" --container-name="geo_nemo_$SLURM_JOB_ID")
      of_srun+=(--container-mounts="$mounts" --no-container-mount-home)
      inside=(bash "$GEO_NEMO_SLURM/enter.sh")
      ;;
    apptainer)
      command -v apptainer >/dev/null || refuse "GEO_NEMO_RUNTIME=apptainer, but there is no apptainer"
      [ "${GEO_NEMO_GPUS:-0}" -eq 0 ] || flags=(--nv)
      inside=(apptainer exec "${flags[@]}" --no-home --bind "$mounts" "$image")
      inside+=(bash "$GEO_NEMO_SLURM/enter.sh")
      ;;
    *) refuse "GEO_NEMO_RUNTIME=$runtime is none of pyxis, apptainer, none" ;;
  esac
}

# A signal that SLURM sends before the end of the time (sbatch --signal=B:USR1@600) reaches this
# shell alone, and srun passes it on. SIGTERM, at preemption or scancel, SLURM sends to every process
# by itself; srun would kill them at it, and a second signal makes the trainer end without a save.
step=
asked=
pass_on() {
  asked=USR1
  [ -z "$step" ] || kill -s USR1 "$step" 2>/dev/null
}

# Runs a command as the current step; its exit code.
run_step() {
  local code again
  "$@" &
  step=$!
  # The signal came just before there was a step to pass it on to.
  [ "$asked" != USR1 ] || pass_on
  while :; do
    wait "$step"
    code=$?
    kill -0 "$step" 2>/dev/null || break
  done
  # A signal may have ended the wait in the moment in which the step ended.
  wait "$step" 2>/dev/null
  again=$?
  [ "$again" -eq 127 ] || code=$again
  step=
  return "$code"
}

# Takes a folder for this job: another job that is still in the queue is an error.
take_folder() {
  local file=$1/slurm/job key=output_dir owner
  if ! (set -C; put "$file" "$SLURM_JOB_ID"); then
    owner=$(cat "$file" 2>/dev/null)
    [ -z "$partial" ] || key=output
    if [ -n "$owner" ] && [ "$owner" != "$SLURM_JOB_ID" ] &&
      [ -n "$(squeue --noheader --jobs="$owner" --format=%T 2>/dev/null)" ]; then
      refuse "job $owner writes in $1: wait for it, cancel it, or give another $key"
    fi
    put "$file.$SLURM_JOB_ID" "$SLURM_JOB_ID" && mv "$file.$SLURM_JOB_ID" "$file"
  fi
}

leave_folder() {
  [ "$(cat "$1/slurm/job" 2>/dev/null)" != "$SLURM_JOB_ID" ] || rm -f "$1/slurm/job"
}

# Steps that the newest whole checkpoint of a run, or of a tuning, has; 0 without one.
checkpoint_step() {
  local path newest=0 folders=("$1"/checkpoints/step_*) whole=geo_nemo.json
  [ -z "$partial" ] || folders=("$partial"/checkpoints/checkpoint-*) whole=whole.json
  for path in "${folders[@]}"; do
    [[ ${path##*/} =~ ^(step_|checkpoint-)([0-9]+)$ ]] || continue
    [ -e "$path/$whole" ] || continue
    [ "$((10#${BASH_REMATCH[2]}))" -gt "$newest" ] && newest=$((10#${BASH_REMATCH[2]}))
  done
  printf '%s\n' "$newest"
}

# The exit code that came first among the ranks of an attempt, and its file; empty where all are 0.
first_failure() {
  local file code when _ best=""
  for file in "$1"/rank_*.exit; do
    [ -e "$file" ] || continue
    read -r code when _ <"$file"
    [ "$code" -eq 0 ] && continue
    if [ -z "$best" ] || [ "$when" -lt "$best" ]; then
      best=$when
      printf '%s %s\n' "$code" "$file"
    fi
  done | tail -n 1
}

# Keeps nodes from this job's next start: drained where this user may, else left out of the job.
# avoid_nodes REASON NODE...   Sets left_out for requeue.
left_out=
avoid_nodes() {
  local reason=$1 node
  shift
  for node in "$@"; do
    if [ "${GEO_NEMO_DRAIN:-0}" = 1 ] &&
      scontrol update NodeName="$node" State=DRAIN Reason="geo-nemo: $reason" >/dev/null 2>&1; then
      say "drained node $node: $reason"
    else
      say "leaves out node $node: $reason"
      left_out="${left_out:+$left_out,}$node"
    fi
  done
}

# How many nodes of the job's partition are left for it: neither drained nor left out, now or before.
# Fails where SLURM does not tell.
nodes_left() {
  local listed earlier out
  listed=$(sinfo --noheader --Node --partition="${SLURM_JOB_PARTITION:-}" --format='%N %T' 2>/dev/null)
  [ -n "$listed" ] || return 1
  earlier=$(excluded_nodes)
  out=$(scontrol show hostnames "${earlier:+$earlier,}$left_out" 2>/dev/null)
  listed=$(grep -viE ' (drain|fail)' <<<"$listed" | cut -d ' ' -f 1 | sort -u)
  comm -23 <(sed '/^$/d' <<<"$listed") <(sort -u <<<"$out") | wc -l
}

# The nodes that this job leaves out so far, as SLURM writes them.
excluded_nodes() {
  local list
  list=$(scontrol show job "$SLURM_JOB_ID" 2>/dev/null | sed -n 's/.*ExcNodeList=\([^ ]*\).*/\1/p')
  [ "$list" = "(null)" ] || printf '%s' "$list"
}

# Runs a command of SLURM's until it succeeds: its controller may be away for a moment, for a new
# configuration or another host. insist TIMES COMMAND...
insist() {
  local left=$1
  shift
  while :; do
    "$@" && return 0
    left=$((left - 1))
    [ "$left" -gt 0 ] || return 1
    sleep "${GEO_NEMO_PAUSE:-5}"
  done
}

# The state of this job, which is in the queue; fails where SLURM does not answer.
state_of_job() {
  state=$(squeue --noheader --jobs="$SLURM_JOB_ID" --format=%T 2>/dev/null) && [ -n "$state" ]
}

# Starts this job anew, on other nodes where avoid_nodes said so; does not come back.
requeue() {
  local job=$SLURM_JOB_ID state='' earlier
  insist 60 state_of_job
  case $state in
    # SIGNALING is the time of grace of a preemption. COMPLETING: cancelled, out of time, or preempted
    # and requeued by SLURM itself; to requeue would bring a cancelled job back.
    "" | RUNNING | SIGNALING) ;;
    *)
      say "is $state: SLURM ends it"
      exit 75
      ;;
  esac
  # SLURM sends SIGTERM to this script while it requeues the job; only a job that waits can be told
  # what nodes to leave out.
  trap '' TERM USR1 INT CONT
  if [ -z "$left_out" ]; then
    if ! insist 3 scontrol requeue "$job"; then
      say "cannot be requeued: submit it again, it goes on from its checkpoint"
      exit 75
    fi
  else
    if ! insist 3 scontrol requeuehold "$job"; then
      say "cannot be requeued: submit it again with --exclude=$left_out"
      exit 75
    fi
    earlier=$(excluded_nodes)
    # SLURM kills this script half a minute from now.
    insist 3 scontrol update JobId="$job" ExcNodeList="${earlier:+$earlier,}$left_out" ||
      say "cannot leave out $left_out: it may be given again"
    insist 3 scontrol release "$job" || say "is held, and goes on by: scontrol release $job"
  fi
  exit 75
}
