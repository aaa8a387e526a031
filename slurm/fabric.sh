# Variables of NCCL, torch and Transformer Engine for a node of H100s. Sourced; what is set stays.
# shellcheck shell=bash

# One line for each warning and each error of NCCL; INFO prints the rings of every communicator.
export NCCL_DEBUG="${NCCL_DEBUG:-WARN}"
# A message is tried again after 4.096 us * 2^22 = 17 s; the default is 20 (4 s) in newer NCCL and was
# 14 (67 ms). A link that flaps then costs a pause, and not the run.
export NCCL_IB_TIMEOUT="${NCCL_IB_TIMEOUT:-22}"
# Overlap of tensor-parallel communication counts on kernels that start in the order of their
# launches: one queue keeps it. Megatron-LM demands this before Blackwell.
export CUDA_DEVICE_MAX_CONNECTIONS="${CUDA_DEVICE_MAX_CONNECTIONS:-1}"
# Packed rows ask for blocks of many sizes; segments that grow leave fewer holes.
export PYTORCH_CUDA_ALLOC_CONF="${PYTORCH_CUDA_ALLOC_CONF:-expandable_segments:True}"
# A process a GPU: its threads must share the node's cores.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-${SLURM_CPUS_PER_TASK:-1}}"
# The log of a job is a file: nothing may wait in a buffer when a process is killed.
export PYTHONUNBUFFERED="${PYTHONUNBUFFERED:-1}"
# NCCL_SOCKET_IFNAME and NCCL_IB_HCA have no value that fits every cluster: where a node has
# several networks, name them in the site's own environment, for example
#   NCCL_SOCKET_IFNAME=bond0  NCCL_IB_HCA=mlx5
# Without it NCCL falls back to sockets and says nothing: under pyxis InfiniBand's devices may need
#   MELLANOX_VISIBLE_DEVICES=all
# and locked memory must not be limited (ulimit -l unlimited on the nodes).
# Compiled kernels stay on the node: a thousand ranks at one shared home wait for each other's locks.
scratch=${GEO_NEMO_SCRATCH:-/tmp/geo-nemo-$(id -u)-${SLURM_JOB_ID:-0}}
export TRITON_CACHE_DIR="${TRITON_CACHE_DIR:-$scratch/triton}"
export TORCHINDUCTOR_CACHE_DIR="${TORCHINDUCTOR_CACHE_DIR:-$scratch/inductor}"
export CUDA_CACHE_PATH="${CUDA_CACHE_PATH:-$scratch/cuda}"
