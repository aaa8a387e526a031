#!/bin/bash
# Runs a command whose output goes to a file of this node's.
#
#   srun --ntasks-per-node=1 ... bash by_node.sh FOLDER COMMAND...     # FOLDER/<node>.txt
set -u
folder=$1
shift
exec "$@" >"$folder/${SLURMD_NODENAME:-$(uname -n)}.txt" 2>&1
