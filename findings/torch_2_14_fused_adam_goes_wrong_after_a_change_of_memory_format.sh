#!/usr/bin/env bash
# Package: torch 2.14.1 (PyPI), on a CPU.
# Input: a convolution in channels_last format is trained with fused Adam; weights and optimiser state are saved, and
#   loaded, as PyTorch's tutorial on checkpoints does, for a model that nobody has converted to channels_last.
# Expected: both go on with the same numbers, as they do with fused=False: the format says how a tensor lies in memory, not
#   what is in it.
# Seen: without a word, each following step uses the averages of other elements. load_state_dict copies weights into the
#   model's own format but keeps that of the optimiser's averages, and the kernel walks through memory, not through indices:
#   at a learning rate of 0.01 the two networks are 0.04 apart after three steps. SGD with momentum does the same.
# Exit code 0: as seen here. Otherwise the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/environment"
"$folder/environment/bin/pip" install --quiet 'torch==2.14.1' numpy
cat > "$folder/resume.py" <<'PYTHON'
import io

import torch


def step(model, optimizer, seed):
    torch.manual_seed(seed)
    optimizer.zero_grad()
    model(torch.randn(16, 8, 6, 6)).square().mean().backward()
    optimizer.step()


def difference(build):
    torch.manual_seed(0)
    model = torch.nn.Conv2d(8, 8, 3).to(memory_format=torch.channels_last)
    optimizer = build(model.parameters())
    for seed in range(3):
        step(model, optimizer, seed)
    file = io.BytesIO()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, file)
    file.seek(0)
    checkpoint = torch.load(file)
    resumed = torch.nn.Conv2d(8, 8, 3)
    resumed.load_state_dict(checkpoint["model"])
    resumed_optimizer = build(resumed.parameters())
    resumed_optimizer.load_state_dict(checkpoint["optimizer"])
    for seed in range(3, 6):
        step(model, optimizer, seed)
        step(resumed, resumed_optimizer, seed)
    return (model.weight - resumed.weight).abs().max().item()


as_seen = True
for name, settings in (("Adam", {}), ("AdamW", {}), ("SGD", {"momentum": 0.9})):
    kind = getattr(torch.optim, name)
    plain, fused = (
        difference(lambda parameters, fused=fused: kind(parameters, lr=0.01, fused=fused, **settings))
        for fused in (False, True)
    )
    print(f"{name}: largest difference after three steps {plain:.1e} with fused=False, {fused:.1e} with fused=True")
    as_seen = as_seen and plain < 1e-6 and fused > 1e-3
raise SystemExit(not as_seen)
PYTHON
"$folder/environment/bin/python" "$folder/resume.py"
