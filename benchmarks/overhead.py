"""What logging, metrics, tracking and checkpoints cost a run: each with the others off, in turns, beside none of them.

Run `python -m benchmarks.overhead`. A round of each: two epochs, with all that is done at the first one's end and a
checkpoint that is written while the second one trains. The steps are real ones, if few:
what is measured is seconds, and shares are given for the report's epochs of 938 steps and a checkpoint a minute.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.composed import composed, container
from benchmarks.machine import described, headline, table, write_results

if TYPE_CHECKING:
    from mnist_resnet.jobs.checkpoint import Checkpoints
    from mnist_resnet.tracking.callback import Callback
    from mnist_resnet.training.loop import Training

STEPS = 938
"""Of the report's epochs."""
NEVER = 1e9
KINDS = ("none of them", "lines and files", "W&B offline", "checkpoints", "all of them")

Seconds = dict[str, list[float]]


def main(arguments: list[str] | None = None) -> None:
    """Measure, print the table, write the results."""
    options = _options(arguments)
    machine = described(options.device)
    print(headline(machine))
    seconds = measured(options)
    lines = [*table(rows(seconds, options.steps)), "", *_notes(options)]
    print("\n".join(lines))
    if options.write:
        print(f"written: {write_results('overhead', machine, lines, {'seconds': seconds})}.md and .json")


def measured(options: argparse.Namespace) -> Seconds:
    """Seconds of each round of each kind; the first round of each warms up and does not count."""
    overrides = [
        *(f"model.width={options.width}", f"data={options.data}", f"data.train_size={64 * options.steps}"),
        *("data.test_size=64", "data.test_batch_size=64", f"trainer.device={options.device}", "trainer.compile=auto"),
        *("tracking=wandb", "tracking.mode=offline"),
    ]
    training = _begun(overrides)
    seconds: Seconds = {kind: [] for kind in KINDS}
    with tempfile.TemporaryDirectory() as folder, _watched(training, overrides, Path(folder)) as kinds:
        for number in range(options.repeats + 1):
            for kind, (callbacks, checkpoints) in kinds.items():
                taken = _round(training, callbacks, checkpoints)
                if number:
                    seconds[kind].append(taken)
            print(f"round {number} of {options.repeats} done")
    return seconds


def rows(seconds: Seconds, steps: int) -> list[dict[str, str]]:
    """Medians; differences are medians of those within a round."""
    base, shown = seconds[KINDS[0]], []
    step = median(base) / 2 / steps
    for kind, rounds in seconds.items():
        more = median(one - other for one, other in zip(rounds, base, strict=True))
        # A round holds one end of an epoch and two epochs' reports; a checkpoint is written once a minute at most.
        per = max(60.0, STEPS * step) if kind == "checkpoints" else 2 * step * steps
        share = "" if kind in (KINDS[0], KINDS[-1]) else f"{100 * more / per:.2f} %"
        shown.append({"with": kind, "s a round": f"{median(rounds):.3f}", "more": f"{more:+.3f}", "share": share})
    return shown


def _begun(overrides: Sequence[str]) -> "Training":
    from mnist_resnet.data.batches import load
    from mnist_resnet.training.compile import set_up
    from mnist_resnet.training.loop import Training
    from mnist_resnet.training.numerics import resolve

    config = composed(overrides)
    numerics = resolve(config.trainer)
    numerics.apply()
    training = Training(config, load(config.data, numerics.device), numerics)
    set_up(training, is_settled=False)
    return training


@contextmanager
def _watched(
    training: "Training", overrides: Sequence[str], folder: Path
) -> Iterator[dict[str, tuple[list["Callback"], "Checkpoints"]]]:
    """For each kind, who is told of the run and what saves it; all are begun, and ended with the `with`."""
    from mnist_resnet.config.job_spec import JobSpec
    from mnist_resnet.jobs.checkpoint import Checkpoints
    from mnist_resnet.jobs.lease import LeaseMonitor, acquire_lease
    from mnist_resnet.jobs.result_writer import ResultWriter
    from mnist_resnet.jobs.run import ResultCallback
    from mnist_resnet.tracking.callback import Run
    from mnist_resnet.tracking.console import ProgressConsole
    from mnist_resnet.tracking.guarded import GuardedTracker
    from mnist_resnet.tracking.log_file import LogFile

    config = training.config
    claim = acquire_lease(folder, LeaseMonitor())
    assert claim is not None
    record = ResultWriter(JobSpec("overhead", container(overrides), [], {}, {}, "of a benchmark"), claim, None)
    with ProgressConsole() as progress:
        log = LogFile(len(training.splits.train), len(training.splits.test), 64, 64)
        files: list[Callback] = [progress, log, ResultCallback(record, training, progress)]
        tracker: list[Callback] = [GuardedTracker(config.tracking.model_dump(by_alias=True))]
        for callback in [*files, *tracker]:
            callback.begin(
                Run("0" * 16, "overhead", None, [], folder, record.result["config"], training.steps_per_epoch, 1)
            )
        never, always = (Checkpoints(folder, "of a benchmark", every, None, claim.check) for every in (NEVER, 0.0))
        told: list[tuple[list[Callback], Checkpoints]] = [
            *(([], never), (files, never), (tracker, never), ([], always)),
            ([*files, *tracker], always),
        ]
        with always.closing():
            yield dict(zip(KINDS, told, strict=True))
        for callback in [*files, *tracker]:
            callback.end(record.result | {"status": "completed"})
    claim.release("completed")


def _round(training: "Training", callbacks: list["Callback"], checkpoints: "Checkpoints") -> float:
    from mnist_resnet.jobs.signals import Interrupt
    from mnist_resnet.training.loop import epoch_metrics, train_epoch

    started = time.perf_counter()
    train_epoch(training, callbacks, checkpoints, Interrupt())
    metrics = epoch_metrics(training, Interrupt())
    training.history, training.batch_losses = [metrics], [training.losses.cpu().clone()]
    for callback in callbacks:
        callback.epoch(metrics)
    checkpoints.epoch_ended(training.state)
    _rewind(training)
    train_epoch(training, callbacks, checkpoints, Interrupt())
    _rewind(training)
    taken = time.perf_counter() - started
    with checkpoints.closing():  # what is still being written belongs to nobody's round
        pass
    return taken


def _rewind(training: "Training") -> None:
    training.step, training.seconds = 0, 0.0
    training.correct.zero_()


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overhead", description=__doc__)
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N (default: %(default)s)")
    parser.add_argument("--width", type=int, default=64, help="of the network (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=20, help="of an epoch (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=7, help="rounds of each (default: %(default)s)")
    parser.add_argument("--data", default="mnist", choices=("mnist", "digits"), help="images (default: %(default)s)")
    parser.add_argument("--no-write", dest="write", action="store_false", help="leave benchmarks/results alone")
    return parser.parse_args(arguments)


def _notes(options: argparse.Namespace) -> list[str]:
    return [
        f"Width {options.width}, batches of 64, {options.steps} steps an epoch, two epochs a round, medians over "
        f"{options.repeats} rounds in turns; differences are medians of those within a round.",
        "Share: of the round; of checkpoints, of a minute (`trainer.checkpoint_interval`) or of an epoch of 938 steps, "
        "whichever is longer.",
    ]


if __name__ == "__main__":
    main()
