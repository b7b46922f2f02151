#!/usr/bin/env bash
# Package: torch 2.14.1 (PyPI), which contains oneDNN 3.12, on an x86-64 CPU with AVX2. One with AVX-512 is told to do
#   without it.
# Input: a 1 × 1 convolution of two channels with stride 2, in channels_last format, and the gradient of its weights.
# Expected: the gradient, as in the default format.
# Seen: memory beside the kernel's workspace is overwritten, sooner or later with "malloc(): unaligned tcache chunk
#   detected", "free(): invalid pointer" or a segmentation fault. It is so with one to seven channels, and neither with eight
#   nor with stride 1 nor with AVX-512. Known as https://github.com/uxlfoundation/oneDNN/issues/6035.
# Exit code 0: as seen here. Otherwise the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/environment"
"$folder/environment/bin/pip" install --quiet 'torch==2.14.1' numpy
cat > "$folder/train.py" <<'PYTHON'
import sys

import torch

torch.set_num_threads(1)
layout = {"last": torch.channels_last, "first": torch.contiguous_format}[sys.argv[1]]
convolution = torch.nn.Conv2d(2, 4, 1, stride=2, bias=False).to(memory_format=layout)
images = torch.rand(32, 2, 14, 14).to(memory_format=layout).requires_grad_()
kept = []
for number in range(200):
    convolution(images).sum().backward()
    kept = [*kept[-50:], torch.rand(1 + number * 7)]
PYTHON
export ONEDNN_MAX_CPU_ISA=AVX2
"$folder/environment/bin/python" "$folder/train.py" first
if "$folder/environment/bin/python" "$folder/train.py" last; then
    echo "channels_last: no crash"
    exit 1
fi
echo "channels_last: crashed; the default format: did not"
