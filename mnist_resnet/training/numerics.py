"""A run's numerics: on what it computes, how precisely and with how many threads.

They change the last bits and the speed, not the experiment. They are resolved once, at a job's first start, written
into its record, and used again when the job goes on.
"""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from mnist_resnet.config.schema import Trainer
from mnist_resnet.errors import UsageError
from mnist_resnet.training.allocator import keep_freed_memory
from mnist_resnet.training.convolution import SmallMaps

THREADS = torch.get_num_threads()
"""PyTorch's choice, read before a job sets its own: the next one in this process must not inherit that."""


@dataclass(frozen=True)
class Numerics:
    """What a run really used.

    Attributes:
        device: `cpu`, `mps`, `cuda` or `cuda:N`.
        precision: `fp32`, `tf32` (CUDA's matrix units on float32) or `bf16` (autocast; weights stay float32).
        threads: of PyTorch on the CPU.
        compiled: whether the step was compiled.
        graphed: whether it was a CUDA graph.
    """

    device: str
    precision: str
    threads: int
    compiled: bool = False
    graphed: bool = False

    def apply(self) -> None:
        """Set this process up for them; what an earlier job had set is overwritten."""
        torch.set_num_threads(self.threads)
        keep_freed_memory()
        torch.backends.cuda.matmul.allow_tf32 = self.precision == "tf32"
        torch.backends.cudnn.allow_tf32 = self.precision == "tf32"

    def autocast(self) -> AbstractContextManager[Any]:
        """The context in which forward passes run."""
        return torch.autocast(torch.device(self.device).type, torch.bfloat16, enabled=self.precision == "bf16")

    def convolutions(self) -> AbstractContextManager[Any]:
        """The context, beside `autocast`, in which forward passes run whose gradient is taken."""
        return SmallMaps() if (self.device, self.precision) == ("cpu", "bf16") else nullcontext()

    def as_dict(self) -> dict[str, Any]:
        """For `result.json`."""
        return asdict(self)

    def __str__(self) -> str:
        form = "compiled" if self.compiled else "eager"
        threads = f"{self.threads} thread{'s' * (self.threads != 1)}"
        return f"{self.device}, {self.precision}, {threads}, {form}{', as a CUDA graph' * self.graphed}"


def resolve(trainer: Trainer) -> Numerics:
    """What `trainer` asks for, with each `auto` settled for this machine.

    Raises:
        UsageError: this machine does not have it.
    """
    device = _device(trainer.device)
    return Numerics(device, _precision(trainer.precision, device), trainer.threads or THREADS)


def resume(recorded: dict[str, Any]) -> tuple[Numerics, list[str]]:
    """The numerics that a job began with, as far as this machine can give them, and a line for each that it can't."""
    wanted = Numerics(**recorded)
    try:
        device = _device(wanted.device)
    except UsageError:
        device = _device("auto")
    try:
        precision = _precision(wanted.precision, device)
    except UsageError:
        precision = _precision("auto", device)
    is_cuda = torch.device(device).type == "cuda"
    given = replace(wanted, device=device, precision=precision, graphed=wanted.graphed and is_cuda)
    if given == wanted:
        return given, []
    return given, [f"began on {wanted} and went on with {given}: the last bits differ from an uninterrupted run"]


def _device(asked: str) -> str:
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if asked == "auto":
        return next(device for device, is_there in there.items() if is_there)
    kind, _, index = asked.partition(":")
    if not there[kind] or (index and int(index) >= torch.cuda.device_count()):
        here = ", ".join(device for device, is_there in there.items() if is_there)
        raise UsageError(f"trainer.device={asked}: not on this machine, which has {here}; or take auto")
    return asked


def _precision(asked: str, device: str) -> str:
    kind = torch.device(device).type
    if asked == "tf32" and (kind != "cuda" or torch.cuda.get_device_capability(device) < (8, 0)):
        raise UsageError(f"trainer.precision=tf32: only CUDA devices since Ampere have it, not {device}; take fp32")
    if asked != "auto":
        return asked
    return "bf16" if _has_bf16_matrix_units(kind, device) else "fp32"


def _has_bf16_matrix_units(kind: str, device: str) -> bool:
    if kind == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if kind == "cpu":
        # AVX-512 BF16 and AMX multiply bf16 pairs in hardware; elsewhere bf16 on a CPU is emulated and slower.
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return False
