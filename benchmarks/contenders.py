"""Who takes part in `throughput`, and the process in which one of them runs (`python -m benchmarks.contenders`)."""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.baselines import lightning_loop, report_loop, synchronise_on
from benchmarks.composed import composed
from benchmarks.pace import Finished, Pace

if TYPE_CHECKING:
    import torch

    from mnist_resnet.job_folder import Metrics
    from mnist_resnet.models.resnet import Stem

NEVER = 1e9
"""Seconds between checkpoints: what they cost is another measurement."""


@dataclass(frozen=True)
class Work:
    """What every contender does the same.

    Attributes:
        device: `cpu`, `cuda` or `cuda:N`.
        stem: of the network.
        width: of the network.
        steps: in a round.
        batch_size: images in a step.
        data: the option of `conf/data` that ours reads.
        data_root: `data.root`, if it is given.
        torchvision_root: the same images, unpacked for torchvision.
        train_size: images of an epoch of ours: a round, or all there are.
        matrices: sizes of square matrices whose products measure the machine's limit.
    """

    device: str
    stem: "Stem"
    width: int
    steps: int
    batch_size: int
    data: str
    data_root: str | None
    torchvision_root: str
    train_size: int
    matrices: list[int]


@dataclass(frozen=True)
class Contender:
    """One row of the table.

    Attributes:
        name: of the row.
        run: trains without end; the pace ends it.
        limit: by device, whose products its arithmetic is measured against: `fp32`, `tf32` or `bf16`. It runs on the
            devices named here.
        trains: False for the one that measures the machine itself.
        compiles: takes so long to its first step that it is started once only.
    """

    name: str
    run: Callable[[Work, Pace], None]
    limit: dict[str, str]
    trains: bool = True
    compiles: bool = False


def ours(work: Work, pace: Pace, overrides: tuple[str, ...]) -> None:
    """The project's own loop, as a job runs it, an epoch a round; its evaluation is kept to one image."""
    from mnist_resnet.data.batches import load
    from mnist_resnet.jobs.checkpoint import Checkpoints
    from mnist_resnet.jobs.signals import Interrupt
    from mnist_resnet.training.compile import set_up
    from mnist_resnet.training.loop import Training, train
    from mnist_resnet.training.numerics import resolve

    pace.imported()
    config = composed([*_overrides(work), *overrides])
    numerics = resolve(config.trainer)
    numerics.apply()
    training = Training(config, load(config.data, numerics.device), numerics)
    left_out, _ = set_up(training, is_settled=False)
    if left_out:
        raise SystemExit("; ".join(left_out))
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = Checkpoints(Path(folder), "of a benchmark", NEVER, None, lambda: None)
        train(training, [Turns(pace, work.train_size)], checkpoints, Interrupt())


def _overrides(work: Work) -> list[str]:
    return [
        *(f"model=stem{work.stem}", f"model.width={work.width}", f"data={work.data}", "tracking=none"),
        *([f"data.root={work.data_root}"] if work.data_root else []),
        *(f"data.batch_size={work.batch_size}", f"data.train_size={work.train_size}", "data.test_size=1"),
        *(f"trainer.device={work.device}", "trainer.epochs=1000000"),
    ]


class Turns:
    """An observer that makes each epoch a round."""

    def __init__(self, pace: Pace, images: int) -> None:
        self.pace, self.images = pace, images

    def begin(self, run: Any) -> None:
        """Nothing."""

    def batch(self, epoch: int, step: int, loss: float, accuracy: float) -> None:  # noqa: ARG002
        """A loss is known on the host; the first one is the first step's."""
        self.pace.first_step()

    def epoch(self, metrics: "Metrics") -> None:
        """The program's own figure of an epoch's training, without its evaluation."""
        self.pace.round_ended(self.images, self.images / metrics["images_per_second"])

    def end(self, result: dict[str, Any]) -> None:
        """Nothing."""


def machine_limit(work: Work, pace: Pace) -> None:
    """Tells the most GFLOP/s that dense arithmetic reaches, by precision.

    That is the fastest of products of square matrices and, on a CPU, of a 3 × 3 convolution such as the network's: on
    an AMD EPYC, PyTorch's matrix products in fp32 reached 229 GFLOP/s where that convolution reached 591. On CUDA,
    cuDNN may take an algorithm that saves multiplications, so that products alone say what the arithmetic gives.
    """
    import torch

    from mnist_resnet.training.numerics import Numerics

    is_cuda = torch.device(work.device).type == "cuda"
    pace.tell("first", building=0.0)
    pace.tell("ready")
    while True:
        pace.wait()
        reached = {}
        for precision in ("fp32", "tf32", "bf16") if is_cuda else ("fp32", "bf16"):
            Numerics(work.device, precision, torch.get_num_threads()).apply()
            dtype = torch.bfloat16 if precision == "bf16" else torch.float32
            speeds = [_product(work.device, dtype, size) for size in work.matrices]
            reached[precision] = max(speeds if is_cuda else [*speeds, _convolution(work.device, dtype)])
        pace.tell("round", **reached)


def _product(device: str, dtype: "torch.dtype", size: int) -> float:
    import torch

    one, other = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    return 2 * size**3 / _shortest(lambda: torch.mm(one, other), device) / 1e9


def _convolution(device: str, dtype: "torch.dtype") -> float:
    import torch

    batch, channels, pixels = 64, 128, 7 * 7
    images = torch.randn(batch, channels, 7, 7, device=device).to(dtype, memory_format=torch.channels_last)
    weights = torch.randn(channels, channels, 3, 3, device=device).to(dtype, memory_format=torch.channels_last)
    seconds = _shortest(lambda: torch.nn.functional.conv2d(images, weights, padding=1), device)
    return 2 * batch * pixels * channels * channels * 9 / seconds / 1e9


def _shortest(compute: Callable[[], Any], device: str, seconds: float = 0.4) -> float:
    """Seconds of the shortest of the calls that fit into so many seconds, after one to warm up."""
    compute()
    synchronise_on(device)
    shortest, until = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < until:
        started = time.perf_counter()
        compute()
        synchronise_on(device)
        shortest = min(shortest, time.perf_counter() - started)
    return shortest


LIMIT = Contender("machine's limit", machine_limit, {"cpu": "", "cuda": ""}, trains=False)


def _ours(name: str, precision: str, compiled: str, limit: dict[str, str]) -> Contender:
    overrides = (f"trainer.precision={precision}", f"trainer.compile={compiled}")
    return Contender(name, partial(ours, overrides=overrides), limit, compiles=compiled == "true")


PRECISIONS = {
    "fp32": {"cpu": "fp32", "cuda": "fp32"},
    "tf32": {"cuda": "tf32"},
    "bf16": {"cpu": "bf16", "cuda": "bf16"},
}
FORMS = [
    (", eager", "false", {"cpu", "cuda"}),
    (", graph", "auto", {"cuda"}),
    (", compiled", "true", {"cpu"}),
    (", compiled, graph", "true", {"cuda"}),
]
"""How a step of ours is done: its name, `trainer.compile`, and where it is done so."""

# PyTorch's defaults let a GPU's convolutions, which is nearly all there is here, run in tf32.
DEFAULTS = {"cpu": "fp32", "cuda": "tf32"}
CONTENDERS = [
    Contender("report's loop", report_loop, DEFAULTS),
    Contender("lightning-hydra-template", lightning_loop, DEFAULTS),
    *(
        _ours(
            f"ours, {precision}{name}", precision, compiled, {device: limit[device] for device in devices & set(limit)}
        )
        for precision, limit in PRECISIONS.items()
        for name, compiled, devices in FORMS
        if devices & set(limit)
    ),
]
"""Each row of the table; the first is what the others are compared with. A variant of ours is some overrides."""


def main() -> None:
    """Run the contender that is named, over standard input and output; what it prints itself goes to the error log."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("work", type=json.loads)
    arguments = parser.parse_args()
    told = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    work = Work(**arguments.work)
    pace = Pace(sys.stdin, told, work.steps * work.batch_size, partial(synchronise_on, work.device))
    contender = next(contender for contender in [LIMIT, *CONTENDERS] if contender.name == arguments.name)
    try:
        contender.run(work, pace)
    except Finished:
        return


def command(contender: Contender, work: Work) -> list[str]:
    """What starts the process of `contender`."""
    return [sys.executable, "-m", "benchmarks.contenders", contender.name, json.dumps(asdict(work))]


if __name__ == "__main__":
    main()
