"""A run's numerics: its device, precision and number of threads, and the form of its training step.

They affect the last bits and the speed but not the experiment. They are resolved once, when a job starts for the first
time, stored in its result, and used again when it resumes.
"""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import MISSING, asdict, dataclass, fields, replace
from typing import Any

import torch

from mnist_resnet.config.classifier_schema import Trainer
from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import RESULT
from mnist_resnet.training.allocator import keep_freed_memory
from mnist_resnet.training.convolution import SmallMaps
from mnist_resnet.training.convolution_forms import ConvolutionForms, is_known

THREADS = torch.get_num_threads()
"""PyTorch's default, read before a job sets its own number, which later jobs of this process must not inherit."""


@dataclass(frozen=True)
class Numerics:
    """The resolved numerics of a run.

    Attributes:
        device: `cpu`, `mps`, `cuda` or `cuda:N`.
        precision: `fp32`, `tf32` (tensor cores on float32, CUDA only) or `bf16` (autocast; weights stay float32).
        threads: PyTorch's number of CPU threads.
        compiled: whether training steps are compiled.
        graphed: whether training steps are a CUDA graph.
        convolutions: how training steps compute them: empty, as the precision has it; `pytorch`, all by PyTorch; or
            `winograd` and the layers that take another form, as in `winograd 256x256@4:rows 512x512@2`
            (`convolution_forms.py`).
    """

    device: str
    precision: str
    threads: int
    compiled: bool = False
    graphed: bool = False
    convolutions: str = ""

    def apply(self) -> None:
        """Configure this process, overwriting the settings of earlier jobs."""
        torch.set_num_threads(self.threads)
        keep_freed_memory()
        torch.backends.cuda.matmul.allow_tf32 = self.precision == "tf32"
        torch.backends.cudnn.allow_tf32 = self.precision == "tf32"

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the context in which all forward passes run."""
        return torch.autocast(torch.device(self.device).type, torch.bfloat16, enabled=self.precision == "bf16")

    def faster_convolutions(self) -> AbstractContextManager[Any]:
        """Return the context in which, besides `autocast`, forward passes of training steps run."""
        form, *layers = self.convolutions.split() or [""]
        if form == "winograd":
            return ConvolutionForms(layers)
        is_bf16_on_cpu = (self.device, self.precision) == ("cpu", "bf16")
        return SmallMaps() if is_bf16_on_cpu and form != "pytorch" else nullcontext()

    def as_dict(self) -> dict[str, Any]:
        """Return the fields by name, for `result.json`."""
        return asdict(self)

    def __str__(self) -> str:
        form = "compiled" if self.compiled else "eager"
        threads = f"{self.threads} thread{'s' * (self.threads != 1)}"
        convolutions = f", convolutions {self.convolutions}" * bool(self.convolutions)
        return f"{self.device}, {self.precision}, {threads}, {form}{', as a CUDA graph' * self.graphed}{convolutions}"


def resolve(trainer: Trainer) -> Numerics:
    """Resolve the config's numerics on this machine: replace each `auto`, and check the rest.

    Args:
        trainer: the config's `trainer`.

    Raises:
        UsageError: this machine lacks the device or the precision, or Winograd's form is not for them.
    """
    device = _device(trainer.device)
    precision = _precision(trainer.precision, device)
    if trainer.convolutions == "winograd" and (device, precision) != ("cpu", "fp32"):
        raise UsageError(
            f"trainer.convolutions=winograd: only with trainer.device=cpu and trainer.precision=fp32, and these are "
            f"{device} and {precision}; or use auto"
        )
    convolutions = "pytorch" if trainer.convolutions == "pytorch" else ""
    return Numerics(device, precision, trainer.threads or THREADS, convolutions=convolutions)


def resume(recorded: dict[str, Any]) -> tuple[Numerics, list[str]]:
    """Return the numerics that a job started with, or the nearest ones that this machine has.

    Args:
        recorded: numerics of the job's first attempt, from `as_dict`.

    Returns:
        The numerics, and a note if they differ from the recorded ones.

    Raises:
        UsageError: The record is damaged, or of another version that had further numerics.
    """
    original = _recorded(recorded)
    try:
        device = _device(original.device)
    except UsageError:
        device = _device("auto")
    try:
        precision = _precision(original.precision, device)
    except UsageError:
        precision = _precision("auto", device)
    is_cuda = torch.device(device).type == "cuda"
    is_winograd = original.convolutions.startswith("winograd")
    convolutions = "" if is_winograd and (device, precision) != ("cpu", "fp32") else original.convolutions
    graphed = original.graphed and is_cuda
    available = replace(original, device=device, precision=precision, graphed=graphed, convolutions=convolutions)
    if available == original:
        return available, []
    return available, [
        f"started with {original}, resumed with {available}: the last bits differ from an uninterrupted run"
    ]


def _recorded(recorded: dict[str, Any]) -> Numerics:
    types = {field.name: field.type for field in fields(Numerics)}
    wrong = [f"{name} is {value!r}" for name, value in recorded.items() if type(value) is not types.get(name)]
    required = [field.name for field in fields(Numerics) if field.default is MISSING]
    wrong += [f"{name} is missing" for name in required if name not in recorded]
    if not wrong:
        numerics = Numerics(**recorded)
        unknown = [layer for layer in numerics.convolutions.split()[1:] if not is_known(layer)]
        if not unknown:
            return numerics
        wrong = [f"convolutions has {unknown[0]}"]
    raise UsageError(
        f"{RESULT}: numerics.{wrong[0]}, with which this version can't go on; sweep.rerun starts the job anew"
    )


def _device(requested: str) -> str:
    is_available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    available = [device for device in is_available if is_available[device]]
    if requested == "auto":
        return available[0]
    kind, _, index = requested.partition(":")
    if not is_available[kind] or (index and int(index) >= torch.cuda.device_count()):
        raise UsageError(
            f"trainer.device={requested}: not on this machine, which has {', '.join(available)}; or use auto"
        )
    return requested


def _precision(requested: str, device: str) -> str:
    kind = torch.device(device).type
    if requested == "tf32" and (kind != "cuda" or torch.cuda.get_device_capability(device) < (8, 0)):
        raise UsageError(f"trainer.precision=tf32: only CUDA devices since Ampere have it, not {device}; use fp32")
    if requested != "auto":
        return requested
    return "bf16" if _has_bf16_matrix_units(kind, device) else "fp32"


def _has_bf16_matrix_units(kind: str, device: str) -> bool:
    if kind == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if kind == "cpu":
        # AVX-512 BF16 and AMX multiply bf16 in hardware. Other CPUs emulate bf16, which is slower than float32.
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return False
