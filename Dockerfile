# geo_nemo in two images (docs/containers.md):
#
#   docker build --target gpu --tag geo-nemo:gpu .     training and evaluation on NVIDIA GPUs
#   docker build --target cpu --tag geo-nemo:cpu .     the demo, data preparation, tests
#
# 26.06 is the newest base that a release of Megatron-Core is built on by NVIDIA: 0.19. 26.08 is that of
# 0.20, above what this project takes. For builds that are the same byte for byte, give the base by
# digest: --build-arg NVIDIA_BASE=nvcr.io/nvidia/pytorch@sha256:...
ARG NVIDIA_BASE=nvcr.io/nvidia/pytorch:26.06-py3
ARG PYTHON_BASE=python:3.11.13-slim-bookworm

# --- the wheel, with recipes and job scripts inside ------------------------------------------------
FROM ${PYTHON_BASE} AS wheel
ARG SOURCE_DATE_EPOCH=1735689600
ENV SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH} PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
RUN python -m pip install build==1.3.0 hatchling==1.27.0
COPY . .
RUN python -m build --wheel --no-isolation --outdir /dist

# --- GPU: what the base has, torch and Transformer Engine above all, is not touched ----------------
FROM ${NVIDIA_BASE} AS gpu
# 0.17 and later need Python 3.12, which the base has and the cpu image has not.
ARG MEGATRON=0.19.2
ARG REVISION=unknown
LABEL org.opencontainers.image.title="geo-nemo" \
      org.opencontainers.image.description="Pre-training that knows where a text comes from: GPU" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="${REVISION}"
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1 \
    HF_HUB_OFFLINE=1 WANDB_MODE=offline
COPY --from=wheel /dist/*.whl /tmp/wheels/
COPY constraints.txt /tmp/constraints.txt
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# The base pins packages by /etc/pip/constraint.txt. What it has stays as it is, by its own list;
# constraints.txt holds for the rest. transformer_engine passes over an ImportError of its .pytorch,
# so that this is imported by name. Apex may be there or not; what there is of it is printed.
RUN sed -i "s/^megatron-core==.*/megatron-core==${MEGATRON}/" /tmp/constraints.txt \
    && python -m pip list --format=freeze --exclude-editable | sed -E 's/^([^=]+)==.*/\1/' \
      | tr '[:upper:]_' '[:lower:]-' | sort -u > /tmp/base-names \
    && awk -F'==' 'NR == FNR { base[$1] = 1; next } \
         { name = tolower($1); gsub("_", "-", name); if (!(name in base)) print }' \
         /tmp/base-names /tmp/constraints.txt > /tmp/ours.txt \
    && wheel=$(echo /tmp/wheels/*.whl) \
    && python -m pip install --constraint /tmp/ours.txt --upgrade-strategy only-if-needed \
         "${wheel}[logging]" \
    && python -c "import torch, transformer_engine.pytorch, megatron.core; assert torch.version.cuda" \
    && python -c "import mlflow, prometheus_client, tensorboard, wandb" \
    && python -c "from geo_nemo.runtime.apex import check_apex; print(check_apex())" \
    && rm -rf /tmp/wheels /tmp/constraints.txt /tmp/ours.txt /tmp/base-names \
    && useradd --create-home --uid 10001 geo \
    && install --directory --mode=1777 /home/geo /tmp/geo-nemo-cache
# Compilers' caches, and a home, where any user may write: docker run --user.
ENV HOME=/home/geo TRITON_CACHE_DIR=/tmp/geo-nemo-cache/triton \
    TORCHINDUCTOR_CACHE_DIR=/tmp/geo-nemo-cache/inductor CUDA_CACHE_PATH=/tmp/geo-nemo-cache/cuda
USER 10001
WORKDIR /home/geo
HEALTHCHECK --interval=5m --timeout=60s --start-period=60s \
    CMD ["python", "-c", "import torch; assert torch.cuda.is_available()"]
# The base's entry point stays: NVIDIA's, which looks at the driver.
CMD ["geo-nemo", "doctor"]

# --- CPU ------------------------------------------------------------------------------------------
FROM ${PYTHON_BASE} AS cpu-packages
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY constraints.txt /tmp/constraints.txt
COPY --from=wheel /dist/*.whl /tmp/wheels/
# torch first, by its exact version and from the index that has it without CUDA.
RUN python -m venv /opt/geo-nemo \
    && /opt/geo-nemo/bin/python -m pip install --index-url "${TORCH_INDEX}" \
         "$(sed -n 's/^\(torch==[^ ;]*\).*/\1/p' /tmp/constraints.txt)" \
    && wheel=$(echo /tmp/wheels/*.whl) \
    && /opt/geo-nemo/bin/python -m pip install --constraint /tmp/constraints.txt "${wheel}[logging]"

FROM ${PYTHON_BASE} AS cpu
ARG REVISION=unknown
LABEL org.opencontainers.image.title="geo-nemo" \
      org.opencontainers.image.description="Pre-training that knows where a text comes from: CPU" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="${REVISION}"
ENV PATH=/opt/geo-nemo/bin:$PATH PYTHONUNBUFFERED=1 HF_HUB_OFFLINE=1 WANDB_MODE=offline
RUN useradd --create-home --uid 10001 geo \
    && install --directory --mode=1777 /home/geo /tmp/geo-nemo-cache
COPY --from=cpu-packages /opt/geo-nemo /opt/geo-nemo
# Compilers' caches, and a home, where any user may write: docker run --user.
ENV HOME=/home/geo TRITON_CACHE_DIR=/tmp/geo-nemo-cache/triton \
    TORCHINDUCTOR_CACHE_DIR=/tmp/geo-nemo-cache/inductor CUDA_CACHE_PATH=/tmp/geo-nemo-cache/cuda
USER 10001
WORKDIR /home/geo
HEALTHCHECK --interval=5m --timeout=60s --start-period=60s \
    CMD ["geo-nemo", "--version"]
CMD ["geo-nemo", "demo", "--out", "/home/geo/demo"]
