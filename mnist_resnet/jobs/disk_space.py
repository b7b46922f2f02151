"""Checks that the disk has the space that jobs need."""

import shutil
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from mnist_resnet.config.build import build
from mnist_resnet.config.job_spec import JobSpec
from mnist_resnet.config.metric import is_image_classifier
from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import from_json, to_json

BYTES = 4
"""Bytes of a float32 parameter."""
CHECKPOINT_COPIES = 3
"""Copies of the weights in a checkpoint under Adam: the weights and two moments."""
MODEL_COPIES = 2
"""Copies of the weights kept of a completed job: traced and exported."""
LESS = {"checkpoint": "make room, or keep less (model, none)", "model": "make room, or keep none", "none": "make room"}
"""What helps a disk that is too small, by `sweep.keep`."""
SMALL_FILES = 2_000_000
"""Bytes for everything else in a job folder: predictions, metrics, logs, W&B's files."""
SUMMARY = 12_000_000
"""Bytes for a sweep's summary: its dashboard (5 MB, mostly Plotly) and W&B's copy of it."""


def check_disk_space(folder: Path, jobs: Sequence[JobSpec]) -> None:
    """Compare the space that the files of these jobs need with the free space where `folder` is, or will be.

    Raises:
        UsageError: There is too little.
    """
    there = next(parent for parent in [folder.absolute(), *folder.absolute().parents] if parent.exists())
    free, wanted = shutil.disk_usage(there).free, bytes_needed(jobs)
    if wanted > free:
        keep = jobs[0].config["sweep"]["keep"]
        raise UsageError(
            f"sweep.keep={keep}: these {len(jobs)} jobs need about {_size(wanted)} in {there}, "
            f"where {_size(free)} are free; {LESS[keep]}"
        )


def bytes_needed(jobs: Sequence[JobSpec]) -> int:
    """Return the bytes of these jobs' folders at the end, of two checkpoints of the largest job, and of the summary."""
    if not jobs:
        return 0
    # What a task of the user's own will write, nobody can know.
    models = [to_json(job.config["model"]) if is_image_classifier(job.config) else None for job in jobs]
    sizes = [BYTES * parameter_count(model) if model is not None else 0 for model in models]
    kept = {"none": 0, "model": MODEL_COPIES, "checkpoint": MODEL_COPIES + CHECKPOINT_COPIES}
    ends = sum(size * kept[job.config["sweep"]["keep"]] for size, job in zip(sizes, jobs, strict=True))
    return ends + 2 * CHECKPOINT_COPIES * max(sizes) + SMALL_FILES * len(jobs) + SUMMARY


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"


@lru_cache
def parameter_count(model: str) -> int:
    """Count the parameters of a model (JSON of its config node) on the meta device.

    Returns:
        The count; 0 if the model can't be built. Parameters whose shape the first batch decides count nothing.
    """
    import torch
    from torch.nn import Module
    from torch.nn.parameter import is_lazy

    try:
        with torch.device("meta"):
            built = build(from_json(model))
    except (Exception, SystemExit):
        return 0
    if not isinstance(built, Module):
        return 0
    return sum(parameter.numel() for parameter in built.parameters() if not is_lazy(parameter))
