"""The contenders of `throughput`, and the process that runs one of them (`python -m benchmarks.contenders`)."""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.baselines import lightning_loop, report_loop
from benchmarks.config import ROOT, checked_config
from benchmarks.machine_limit import machine_limit
from benchmarks.round_timer import NoMoreRounds, RoundTimer, synchronise
from benchmarks.workload import Workload

if TYPE_CHECKING:
    from mnist_resnet.job_folder import Metrics

NEVER = 1e9
"""Checkpoint interval in seconds that turns checkpoints off; `overhead` measures their cost."""


@dataclass(frozen=True)
class Contender:
    """One row of the table.

    Attributes:
        name: name of the row.
        run: trains until the timer ends it.
        limit: by device, the precision of the machine's limit to compare with: `fp32`, `tf32` or `bf16`. The contender
            runs on these devices only.
        trains: False for the contender that measures the machine itself.
        compiles: True if it compiles, so that its first step takes long; it is started only once then.
        checkout: the repository whose code it runs.
        original: the contender's name in that checkout, if it differs.
    """

    name: str
    run: Callable[[Workload, RoundTimer], None]
    limit: dict[str, str]
    trains: bool = True
    compiles: bool = False
    checkout: Path = ROOT
    original: str = ""

    def at(self, checkout: Path, commit: str) -> "Contender":
        """Return the same contender with the code of another checkout, which is at `commit`."""
        return replace(self, name=f"{self.name}, at {commit}", checkout=checkout, original=self.name)


def our_loop(workload: Workload, timer: RoundTimer, overrides: tuple[str, ...]) -> None:
    """Train with the project's own loop, as a job does, until the timer ends it.

    Each epoch is a round. The evaluation after it has only one image and is not timed.
    """
    from mnist_resnet.data.batches import load
    from mnist_resnet.jobs.checkpoint import Checkpoints
    from mnist_resnet.jobs.signals import Interrupt
    from mnist_resnet.training.compile import set_up
    from mnist_resnet.training.loop import train
    from mnist_resnet.training.numerics import resolve
    from mnist_resnet.training.training_run import Training

    timer.imports_done()
    config = checked_config([*_workload_overrides(workload), *overrides])
    numerics = resolve(config.trainer)
    numerics.apply()
    training = Training(config, load(config.data, numerics.device), numerics)
    unavailable, _ = set_up(training, is_settled=False)
    if unavailable:
        raise SystemExit("; ".join(unavailable))
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = Checkpoints(Path(folder), "of a benchmark", NEVER, None, lambda: None)
        train(training, [RoundCallback(timer, workload.train_size)], checkpoints, Interrupt())


def _workload_overrides(workload: Workload) -> list[str]:
    return [
        *(f"model=stem{workload.stem}", f"model.width={workload.width}", f"data={workload.data}", "tracking=none"),
        *([f"data.root={workload.data_root}"] if workload.data_root else []),
        *(f"data.batch_size={workload.batch_size}", f"data.train_size={workload.train_size}", "data.test_size=1"),
        *(f"trainer.device={workload.device}", "trainer.epochs=1000000"),
    ]


class RoundCallback:
    """A job callback that reports each epoch to the timer as a round.

    Args:
        timer: the contender's timer.
        images: training images in an epoch.
    """

    def __init__(self, timer: RoundTimer, images: int) -> None:
        self.timer, self.images = timer, images

    def begin(self, run: Any) -> None:
        """Do nothing."""

    def batch(self, epoch: int, step: int, loss: float, accuracy: float) -> None:  # noqa: ARG002
        """Report the first step: its loss is on the host."""
        self.timer.first_step_done()

    def epoch(self, metrics: "Metrics") -> None:
        """Report a round, with the program's own training time, which leaves out the evaluation."""
        self.timer.round_done(self.images, self.images / metrics["images_per_second"])

    def end(self, result: dict[str, Any]) -> None:
        """Do nothing."""


LIMIT = Contender("machine's limit", machine_limit, {"cpu": "", "cuda": ""}, trains=False)


def _our_contender(name: str, precision: str, compiled: str, limit: dict[str, str]) -> Contender:
    overrides = (f"trainer.precision={precision}", f"trainer.compile={compiled}")
    return Contender(name, partial(our_loop, overrides=overrides), limit, compiles=compiled == "true")


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
"""Ways to run our training step: end of the row's name, `trainer.compile`, and the devices that have it."""

# By default, PyTorch runs a GPU's convolutions in tf32, and nearly all arithmetic here is convolutions.
DEFAULTS = {"cpu": "fp32", "cuda": "tf32"}
CONTENDERS = [
    Contender("report's loop", report_loop, DEFAULTS),
    Contender("lightning-hydra-template", lightning_loop, DEFAULTS),
    *(
        _our_contender(
            f"ours, {precision}{name}", precision, compiled, {device: limit[device] for device in devices & set(limit)}
        )
        for precision, limit in PRECISIONS.items()
        for name, compiled, devices in FORMS
        if devices & set(limit)
    ),
]
"""The rows of the table; the others are compared with the first. Variants of our loop differ in overrides only."""


def main() -> None:
    """Run one contender, with requests on standard input and events on standard output.

    Everything that the contender itself prints goes to standard error.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks.contenders", description=__doc__)
    parser.add_argument("name", help="name of the contender, as in the table")
    parser.add_argument("workload", type=json.loads, help="the workload as JSON")
    arguments = parser.parse_args()
    events = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    workload = Workload(**arguments.workload)
    images = workload.steps * workload.batch_size
    timer = RoundTimer(sys.stdin, events, images, partial(synchronise, workload.device))
    contender = next(contender for contender in [LIMIT, *CONTENDERS] if contender.name == arguments.name)
    try:
        contender.run(workload, timer)
    except NoMoreRounds:
        return


def command(contender: Contender, workload: Workload) -> list[str]:
    """Return the command line that runs `contender` in a process of its own, in its checkout."""
    name = contender.original or contender.name
    return [sys.executable, "-m", "benchmarks.contenders", name, json.dumps(asdict(workload))]


if __name__ == "__main__":
    main()
