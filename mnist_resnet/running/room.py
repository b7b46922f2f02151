"""The room on the disk that jobs need."""

import json
from collections.abc import Sequence
from functools import lru_cache

import torch
from hydra.utils import instantiate

from mnist_resnet.running.frozen import FrozenJob

BYTES = 4
"""Of a float32 parameter."""
CHECKPOINT_COPIES = 3
"""Of the weights, in a checkpoint under Adam: themselves and two moments."""
MODEL_COPIES = 2
"""Of the weights, in what is kept of a completed job: traced and exported."""
SMALL_FILES = 2_000_000
"""Bytes for everything else in a job folder: predictions, metrics, logs, W&B's files."""


def needed(jobs: Sequence[FrozenJob]) -> int:
    """Bytes that these jobs' folders take in the end, and two checkpoints of the largest while it runs."""
    sizes = [BYTES * _parameters(json.dumps(job.config["model"])) for job in jobs]
    kept = {"none": 0, "model": MODEL_COPIES, "checkpoint": MODEL_COPIES + CHECKPOINT_COPIES}
    ends = sum(size * kept[job.config["sweep"]["keep"]] for size, job in zip(sizes, jobs, strict=True))
    return ends + 2 * CHECKPOINT_COPIES * max(sizes) + SMALL_FILES * len(jobs)


@lru_cache
def _parameters(model: str) -> int:
    """How many a model has, without making them."""
    with torch.device("meta"):
        built = instantiate(json.loads(model), _convert_="all")
    return sum(parameter.numel() for parameter in built.parameters())
