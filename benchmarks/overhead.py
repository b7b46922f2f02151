"""Measures the overhead of logging, metrics, tracking and checkpoints in a run, each with the others turned off.

Run `python -m benchmarks.overhead`. The variants take turns in rounds. A round is two epochs, with everything that is
done at the end of the first, and a checkpoint that is written while the second trains. The epochs are short: the table
shows seconds, and their share of a round or, for one checkpoint per minute, of a minute.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.config import checked_config, resolved_config
from benchmarks.machine import describe_machine, headline, table, write_results

if TYPE_CHECKING:
    from mnist_resnet.jobs.checkpoint import Checkpoints
    from mnist_resnet.tracking.callback import Callback
    from mnist_resnet.training.training_run import Training

NEVER = 1e9
"""Checkpoint interval in seconds that turns checkpoints off."""
VARIANTS = ("none of them", "lines and files", "W&B offline", "checkpoints", "all of them")

Seconds = dict[str, list[float]]


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark, print its table and write its results."""
    options = _options(arguments)
    machine = describe_machine(options.device)
    print(headline(machine))
    seconds = measure(options)
    lines = [*table(rows(seconds)), "", *_notes(options)]
    print("\n".join(lines))
    if options.write:
        print(f"written: {write_results('overhead', machine, lines, {'seconds': seconds})}.md and .json")


def measure(options: argparse.Namespace) -> Seconds:
    """Return the seconds of each round by variant; an additional first round of each warms up and does not count."""
    overrides = [
        *(f"model.width={options.width}", f"data={options.data}", f"data.train_size={64 * options.steps}"),
        *("data.test_size=64", "data.test_batch_size=64", f"trainer.device={options.device}", "trainer.compile=auto"),
        *("tracking=wandb", "tracking.mode=offline"),
    ]
    training = _training(overrides)
    seconds: Seconds = {variant: [] for variant in VARIANTS}
    with tempfile.TemporaryDirectory() as folder, _variants(training, overrides, Path(folder)) as variants:
        for number in range(options.repeats + 1):
            for variant, (callbacks, checkpoints) in variants.items():
                elapsed = _time_round(training, callbacks, checkpoints)
                if number:
                    seconds[variant].append(elapsed)
            print(f"round {number} of {options.repeats} done")
    return seconds


def rows(seconds: Seconds) -> list[dict[str, str]]:
    """Return the table's rows: medians over the rounds, and medians of the differences within a round.

    Args:
        seconds: seconds of each round, by variant.
    """
    base, shown = seconds[VARIANTS[0]], []
    for variant, rounds in seconds.items():
        difference = median(with_it - without for with_it, without in zip(rounds, base, strict=True))
        # A round has one end of an epoch and the reports of two epochs. Checkpoints are a minute apart.
        period = 60.0 if variant == "checkpoints" else median(base)
        share = "" if variant in (VARIANTS[0], VARIANTS[-1]) else f"{100 * difference / period:.2f} %"
        row = {"with": variant, "s per round": f"{median(rounds):.3f}", "overhead, s": f"{difference:+.3f}"}
        shown.append(row | {"share": share})
    return shown


def _training(overrides: Sequence[str]) -> "Training":
    from mnist_resnet.data.batches import load
    from mnist_resnet.training.compile import set_up
    from mnist_resnet.training.numerics import resolve
    from mnist_resnet.training.training_run import Training

    config = checked_config(overrides)
    numerics = resolve(config.trainer)
    numerics.apply()
    training = Training(config, load(config.data, numerics.device), numerics)
    set_up(training, is_settled=False)
    return training


@contextmanager
def _variants(
    training: "Training", overrides: Sequence[str], folder: Path
) -> Iterator[dict[str, tuple[list["Callback"], "Checkpoints"]]]:
    """Yield the callbacks and the checkpoint writer of each variant; start them before and end them after."""
    from mnist_resnet.attempts import LeaseMonitor
    from mnist_resnet.config.job_spec import JobSpec
    from mnist_resnet.jobs.checkpoint import Checkpoints
    from mnist_resnet.jobs.lease import acquire_lease
    from mnist_resnet.jobs.result_writer import ResultWriter
    from mnist_resnet.jobs.task_run import ResultCallback
    from mnist_resnet.tracking.callback import RunInfo
    from mnist_resnet.tracking.console import ProgressConsole
    from mnist_resnet.tracking.guarded import GuardedTracker
    from mnist_resnet.tracking.log_file import LogFile

    config = training.config
    lease = acquire_lease(folder, LeaseMonitor())
    assert lease is not None
    record = ResultWriter(JobSpec("overhead", resolved_config(overrides), [], {}, {}, "of a benchmark"), lease, None)
    with ProgressConsole() as progress:
        log = LogFile(len(training.splits.train), len(training.splits.test), 64, 64)
        never = Checkpoints(folder, "of a benchmark", NEVER, None, lease.check)
        always = Checkpoints(folder, "of a benchmark", NEVER, training.steps_per_epoch + 1, lease.check)  # epochs' ends
        files: list[Callback] = [progress, log, ResultCallback(record, training, never, progress)]
        tracker: list[Callback] = [GuardedTracker(config.tracking.model_dump(by_alias=True))]
        for callback in [*files, *tracker]:
            callback.begin(
                RunInfo("0" * 16, "overhead", None, [], folder, record.result["config"], training.steps_per_epoch, 1)
            )
        variants: list[tuple[list[Callback], Checkpoints]] = [
            *(([], never), (files, never), (tracker, never), ([], always)),
            ([*files, *tracker], always),
        ]
        with always.closing():
            yield dict(zip(VARIANTS, variants, strict=True))
        for callback in [*files, *tracker]:
            callback.end(record.result | {"status": "completed"})
    lease.release("completed")


def _time_round(training: "Training", callbacks: list["Callback"], checkpoints: "Checkpoints") -> float:
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
    elapsed = time.perf_counter() - started
    with checkpoints.closing():  # wait for a checkpoint that is still being written, outside of the timing
        pass
    return elapsed


def _rewind(training: "Training") -> None:
    training.step, training.seconds = 0, 0.0
    training.correct.zero_()


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overhead", description=__doc__)
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N (default: %(default)s)")
    parser.add_argument("--width", type=int, default=64, help="network width (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=20, help="steps in an epoch (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=7, help="rounds of each variant (default: %(default)s)")
    parser.add_argument("--data", default="mnist", choices=("mnist", "digits"), help="data set (default: %(default)s)")
    parser.add_argument("--no-write", dest="write", action="store_false", help="do not write to benchmarks/results")
    return parser.parse_args(arguments)


def _notes(options: argparse.Namespace) -> list[str]:
    return [
        f"Width {options.width}, batches of 64, {options.steps} steps per epoch, two epochs per round; medians over "
        f"{options.repeats} rounds in turns. Overhead: median of the differences to the first row in the same round.",
        "Share: of the round's time; for checkpoints, of a minute (`trainer.checkpoint_interval`).",
    ]


if __name__ == "__main__":
    main()
