#!/usr/bin/env bash
# Builds the emulated device and fetches Transformer Engine's Python: build.sh PYTHON FOLDER
#
# PYTHON has the torch of constraints.txt, a CPU build. FOLDER takes 150 MB.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
python=$1
folder=$2
torch=2.13.0
transformer_engine=2.12.0
found=$("$python" -c 'import torch; print(torch.__version__, torch.version.cuda)')
[ "$found" = "$torch+cpu None" ] || [ "$found" = "$torch None" ] || {
  echo "build.sh: the emulated device is for torch $torch without CUDA, and this is $found"
  exit 2
}
mkdir -p "$folder"
# All of its Python is in the plain package; its compiled halves stay out.
"$python" -m pip --disable-pip-version-check --quiet install --no-deps --upgrade \
  --target "$folder" "transformer_engine==$transformer_engine" onnxscript==0.7.2 onnx==1.23.2 \
  onnx-ir==1.1.0 ml-dtypes==0.6.0 einops==0.8.2 nvdlfw-inspect==0.2.2 importlib-metadata==10.2.0 \
  zipp==4.1.2
libraries=$("$python" -c 'import pathlib, torch; print(pathlib.Path(torch.__file__).parent)')
headers=$("$python" -c 'import sysconfig; print(sysconfig.get_paths()["include"])')
abi=$("$python" -c 'import torch; print(int(torch._C._GLIBCXX_USE_CXX11_ABI))')
g++ -O0 -std=c++20 -fPIC -shared -w -DTORCH_EXTENSION_NAME=emulated_cuda \
  -D_GLIBCXX_USE_CXX11_ABI="$abi" -I"$headers" -I"$libraries/include" \
  -I"$libraries/include/torch/csrc/api/include" "$here/device.cpp" -o "$folder/emulated_cuda.so" \
  -L"$libraries/lib" -lc10 -ltorch_cpu -ltorch -ltorch_python -Wl,-rpath,"$libraries/lib"
touch "$folder/installed"
