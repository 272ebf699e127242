#!/usr/bin/env bash
# Compiles classify_onnx.cpp against the library inside the installed wheel of ONNX Runtime.
#   scripts/cpp/build_onnx.sh OUTPUT          (PYTHON=… for another environment than .venv)
#
# The wheel has no headers. They are taken from ONNXRUNTIME_INCLUDE, or from Debian's package libonnxruntime-dev.
# Headers of an older release go with a newer library: the C API has versions, and each release
# serves all earlier ones; the other way round does not work. Beside OUTPUT lies a link to the library, by the name that
# programs ask for and the wheel does not have.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-$here/../../.venv/bin/python}
library=$("$python" -c 'import pathlib, onnxruntime
print(next((pathlib.Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so.*")))')
headers=${ONNXRUNTIME_INCLUDE:-/usr/include/onnxruntime}
if [ ! -f "$headers/onnxruntime_cxx_api.h" ]; then
  release=onnxruntime-linux-x64-${library##*.so.}
  cat >&2 <<HELP
build_onnx.sh: the headers of ONNX Runtime are missing. One of:
  apt-get install libonnxruntime-dev            (Debian 13)
  curl -L https://github.com/microsoft/onnxruntime/releases/download/v${library##*.so.}/$release.tgz | tar xz
  export ONNXRUNTIME_INCLUDE=\$PWD/$release/include
HELP
  exit 2
fi
ln -sf "$library" "$(dirname "$1")/libonnxruntime.so.1"
${CXX:-g++} -std=c++20 -O2 "$here/classify_onnx.cpp" -o "$1" -isystem "$headers" "$library" -Wl,-rpath,'$ORIGIN'
