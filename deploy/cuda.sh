#!/usr/bin/env bash
# Builds one binary that uses an NVIDIA GPU where there is one and the CPU where there is none.
# Needs neither GPU nor CUDA toolkit: the compiler comes from the Python package index. About 15 minutes on two cores.
# What it does and why: docs/GPU.md.
set -euo pipefail
cd "$(dirname "$0")/.."
cache="${XDG_CACHE_HOME:-$HOME/.cache}/kura/cuda"
# nvcc must not be newer than the driver's CUDA version: the driver compiles the PTX. 13.0 serves drivers from 580 on.
toolkit=13.0.2

if [ ! -x "$cache/venv/bin/python" ] || ! "$cache/venv/bin/pip" show cuda-toolkit 2>/dev/null | grep -q "$toolkit"; then
	python3 -m venv "$cache/venv"
	"$cache/venv/bin/pip" install --quiet "cuda-toolkit[nvcc,nvvm,crt,cudart,cccl]==$toolkit"
fi
wheels=$("$cache/venv/bin/python" -c 'import nvidia.cu13, sys; sys.stdout.write(list(nvidia.cu13.__path__)[0])')

# A CUDA_HOME for the build: the wheels' compiler and headers, cudart linked statically, and empty libraries in the
# place of the driver's and cuBLAS's. Nothing of those is linked; they are opened at run time, if they are there.
home="$cache/home"
mkdir -p "$home/lib64/stubs"
for folder in bin include nvvm; do ln -sfn "$wheels/$folder" "$home/$folder"; done
printf 'INPUT(%s/lib/libcudart_static.a -ldl -lrt -lpthread)\n' "$wheels" >"$home/lib64/libcudart.so"
: >"$cache/empty.c"
for library in cuda:1 cublas:13 cublasLt:13 curand:10 nvrtc:13; do
	name="lib${library%%:*}.so"
	[ -e "$home/lib64/stubs/$name" ] || cc -shared -o "$home/lib64/stubs/$name" -Wl,-soname,"$name.${library##*:}" "$cache/empty.c"
done

export CUDA_HOME="$home" PATH="$home/bin:$PATH" CUDAFORGE_THREADS="${CUDAFORGE_THREADS:-2}"
# The compute capability of the target GPUs: 80 A100, 86 RTX 30, 89 L4 and RTX 40, 90 H100 and H200.
export CUDA_COMPUTE_CAP="${CUDA_COMPUTE_CAP:-90}"
# With an explicit target these flags reach the crates but not their build scripts; cudarc then opens its libraries
# at run time instead of linking them, so that the binary starts without a GPU.
RUSTFLAGS='--cfg feature="dynamic-loading"' cargo build --release --package kura --features cuda --target x86_64-unknown-linux-gnu
echo "built $CARGO_TARGET_DIR/x86_64-unknown-linux-gnu/release/kura"
