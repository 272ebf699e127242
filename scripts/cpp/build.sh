#!/usr/bin/env bash
# Compiles classify.cpp against the libtorch inside the installed wheel of PyTorch.
#   scripts/cpp/build.sh OUTPUT          (PYTHON=… for another environment than .venv)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-$here/../../.venv/bin/python}
torch=$("$python" -c 'import pathlib, torch; print(pathlib.Path(torch.__file__).parent)')
abi=$("$python" -c 'import torch; print(int(torch._C._GLIBCXX_USE_CXX11_ABI))')
${CXX:-g++} -std=c++20 -O2 -D_GLIBCXX_USE_CXX11_ABI="$abi" "$here/classify.cpp" -o "$1" \
    -isystem "$torch/include" -isystem "$torch/include/torch/csrc/api/include" \
    -L "$torch/lib" -Wl,-rpath,"$torch/lib" -Wl,--no-as-needed -ltorch -ltorch_cpu -lc10
