"""Compares the training times of the lean recipes and of the report's network to the same test accuracy.

Run `python -m benchmarks.lean`. On two CPU cores it takes about an hour, most of it for the report's network, up to
`--limit`. Each run is started from the shell. Half of the recipes' seeds run before the report's network, half after
it. The tables and a plot are written to `benchmarks/results/`. The plot also shows the record of
`+sweep=lean_ablation`.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

from benchmarks.config import ROOT
from benchmarks.machine import describe_machine, headline, table, write_results
from benchmarks.startup import environment
from mnist_resnet.comparing.statistics import Spread, spread
from mnist_resnet.job_folder import LOG, METRICS, Metrics, read_metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RECIPES = {"lean99": 0.99, "lean": 0.9944}
"""Recipes (options of `conf/experiment`), and each one's target mean test accuracy; the report's best is 99.44 %."""

REPORT = "report_e_30_epochs"
RECORD = ROOT / "multirun" / "records" / "lean_ablation"
WHOLE = "A"
"""The comparison's short name for the group of seeds that most changes start from: the whole recipe."""
POLL_SECONDS = 0.02
EXIT_TIMEOUT = 60.0
"""Seconds that a terminated run may take to end; then it is killed."""


@dataclass(frozen=True)
class TimedRun:
    """The measurements of a run from the shell.

    Attributes:
        experiment: option of `conf/experiment`.
        seed: the run's seed.
        start: seconds from the start of the process to the first step's loss: imports, data, building, and compiling if
            the program compiles.
        epochs: the lines of `metrics.jsonl`; `training_seconds` counts the steps only.
        ended: False if the run was stopped, at the limit or because all targets were reached.
    """

    experiment: str
    seed: int
    start: float
    epochs: list[Metrics]
    ended: bool

    @property
    def seconds(self) -> float:
        """Training time in seconds."""
        return sum(epoch["training_seconds"] for epoch in self.epochs)

    def seconds_to_reach(self, accuracy: float) -> float | None:
        """Return the training time up to the end of the first epoch with this test accuracy; None if there is none."""
        for number, epoch in enumerate(self.epochs, start=1):
            if epoch["test_accuracy"] >= accuracy:
                return sum(previous["training_seconds"] for previous in self.epochs[:number])
        return None


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark, print its tables and write its results."""
    options = _options(arguments)
    root = [f"data.root={Path(options.data_root).absolute()}"] if options.data_root else []
    overrides = [*root, f"trainer.device={options.device}", *options.overrides]
    machine = describe_machine(options.device)
    print(headline(machine))
    half = options.seeds - options.seeds // 2
    recipes = [train(name, seed, overrides) for seed in range(1, half + 1) for name in RECIPES]
    report = train(REPORT, 1, overrides, options.limit, max(RECIPES.values()))
    recipes += [train(name, seed, overrides) for seed in range(half + 1, options.seeds + 1) for name in RECIPES]
    lines = [*recipe_lines(recipes), "", *report_lines(report, recipes)]
    print("\n".join(lines))
    if options.write:
        path = write_results("lean", machine, lines, {"runs": [asdict(run) for run in [*recipes, report]]})
        plot(report, recipes, machine, path.with_suffix(".png"))
        print(f"written: {path.relative_to(ROOT)}.md, .json, .png")


def train(
    experiment: str, seed: int, overrides: Sequence[str], limit: float = float("inf"), enough: float = float("inf")
) -> TimedRun:
    """Run `experiment` from the shell, and stop it at a time limit or when it is accurate enough.

    Args:
        experiment: option of `conf/experiment`.
        seed: the run's seed.
        overrides: further overrides.
        limit: seconds after the first step.
        enough: test accuracy, 0 to 1.

    Raises:
        SystemExit: The run failed, or completed no epoch within the limit.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name, (Path(name) / "output").open("w+") as output:
        job, start = Path(name) / "run", 0.0
        fixed = [f"experiment={experiment}", f"seed={seed}", "tracking=none", "sweep.keep=none", "hydra.run.dir=run"]
        command = [sys.executable, str(ROOT / "train.py"), *fixed, *overrides]
        started = time.perf_counter()
        process = subprocess.Popen(command, cwd=name, env=environment(), stdout=output, stderr=output, process_group=0)
        try:
            while process.poll() is None and (not start or time.perf_counter() - started < start + limit):
                if not start and (job / LOG).exists() and "Loss:" in (job / LOG).read_text(encoding="utf-8"):
                    start = time.perf_counter() - started
                if enough <= max((epoch["test_accuracy"] for epoch in _epochs(job)), default=0.0):
                    break
                time.sleep(POLL_SECONDS)
            ended = process.poll() is not None
        finally:
            _terminate(process)
        if (ended and process.returncode) or not _epochs(job):
            raise SystemExit(f"{experiment}: no epoch completed: {(Path(name) / 'output').read_text()}")
        run = TimedRun(experiment, seed, start, _epochs(job), ended)
    print(
        f"{experiment}, seed {seed}: {100 * run.epochs[-1]['test_accuracy']:.2f} % after {len(run.epochs)} epochs, "
        f"{run.seconds:.1f} s of training; first step after {start:.1f} s",
        flush=True,
    )
    return run


def recipe_lines(runs: Sequence[TimedRun]) -> list[str]:
    """Return the table of the recipes, over their seeds, and a line for each recipe that misses its target."""
    rows, missed = [], []
    for name, target in RECIPES.items():
        seeds = [run for run in runs if run.experiment == name]
        accuracy = spread([run.epochs[-1]["test_accuracy"] for run in seeds])
        seconds = spread([run.seconds for run in seeds])
        if accuracy.mean < target:
            missed.append(f"The mean test accuracy of {name} over these seeds does not reach {100 * target:.2f} %.")
        rows.append(
            {
                "recipe": name,
                "seeds": str(len(seeds)),
                "test accuracy, %": _with_interval(accuracy, 100, ".3f"),
                "training, s": _with_interval(seconds, 1, ".3g"),
                "first step after, s": f"{mean(run.start for run in seeds):.2f}",
            }
        )
    return [*table(rows), "", "Last epoch; means with 95 % intervals (Student's t).", *missed]


def report_lines(report: TimedRun, recipes: Sequence[TimedRun]) -> list[str]:
    """Return the table of the report's network's time to each target and its ratio to the recipe's time, and a note."""
    seconds_per_epoch = report.seconds / len(report.epochs)
    best = max(epoch["test_accuracy"] for epoch in report.epochs)
    rows = []
    for name, target in RECIPES.items():
        lean = mean(run.seconds for run in recipes if run.experiment == name)
        reached = report.seconds_to_reach(target)
        rows.append(
            {
                "to": f"{100 * target:.2f} %",
                "the report's network, s": f"{reached:.4g}" if reached else f"not in {report.seconds:.4g}",
                "recipe, s": f"{lean:.3g} ({name})",
                "ratio": f"{reached / lean:.3g}" if reached else f"more than {report.seconds / lean:.3g}",
            }
        )
    reason = "all targets reached" if report.seconds_to_reach(max(RECIPES.values())) else "at the limit"
    end = "ran to its end" if report.ended else f"was stopped, {reason}"
    return [
        *table(rows),
        "",
        f"The report's network ({REPORT}, one seed): {seconds_per_epoch:.4g} s per epoch, {len(report.epochs)} epochs, "
        f"best {100 * best:.2f} %; it {end}. Its first step ended after {report.start:.2f} s. Its time counts up to "
        "the first epoch whose test accuracy reaches the target, which favours it; a recipe's time is its whole run.",
    ]


def plot(report: TimedRun, recipes: Sequence[TimedRun], machine: dict[str, Any], path: Path) -> None:
    """Plot test error against training time and, if its record exists, the error of `lean` without each part."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.2), layout="constrained")
    figure.suptitle(f"{machine['gpu'] or machine['cpu']}, torch {machine['versions']['torch']}", fontsize="medium")
    time_axes, parts_axes = figure.subplots(1, 2, width_ratios=(3, 2))
    _plot_error_over_time(time_axes, report, recipes)
    if RECORD.exists():
        _plot_lean_without_each_part(parts_axes)
    figure.savefig(path, dpi=120)


def _plot_error_over_time(axes: "Axes", report: TimedRun, recipes: Sequence[TimedRun]) -> None:
    from matplotlib.ticker import LogLocator, NullLocator

    elapsed = list(accumulate(epoch["training_seconds"] for epoch in report.epochs))
    errors = [100 * (1 - epoch["test_accuracy"]) for epoch in report.epochs]
    axes.plot(elapsed, errors, "s-", color="#cc6677", label="the report's network, epoch by epoch (one seed)")
    for name, color in zip(RECIPES, ("#117733", "#4477aa"), strict=True):
        seeds = [run for run in recipes if run.experiment == name]
        seconds, error = [run.seconds for run in seeds], [100 * (1 - run.epochs[-1]["test_accuracy"]) for run in seeds]
        axes.plot(seconds, error, ".", color=color, alpha=0.4)
        axes.plot(mean(seconds), mean(error), "D", color=color, label=f"{name}: {len(seeds)} seeds and their mean")
    for target in RECIPES.values():
        axes.axhline(100 * (1 - target), color="#999999", linewidth=0.8, linestyle="--")
        text, position = f"{100 * target:.2f} % correct", (0.45, 100 * (1 - target))
        axes.annotate(
            text, position, xycoords=("axes fraction", "data"), va="bottom", fontsize="small", color="#555555"
        )
    axes.set(xscale="log", yscale="log", xlabel="training, seconds", ylabel="test error, %")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter("{x:g}")
    axes.set_ylim(bottom=axes.get_ylim()[0] / 2)
    axes.legend(fontsize="small", loc="lower right")


def _plot_lean_without_each_part(axes: "Axes") -> None:
    from mnist_resnet import load_sweep
    from mnist_resnet.comparing.changes import changes, short_names
    from mnist_resnet.comparing.factors import distinguishing_factors
    from mnist_resnet.comparing.statistics import seeds_summary
    from mnist_resnet.config.levels import level_text

    frame = load_sweep(RECORD)
    factors = distinguishing_factors(frame)
    names = short_names(changes(frame, "test_accuracy"))
    summary = seeds_summary(frame, factors, ["test_accuracy", "training_seconds"])
    named = [(names.get(tuple(level_text(row[key]) for key in factors), ""), row) for _, row in summary.iterrows()]
    rows = [(name, row) for name, row in named if name.startswith(WHOLE)]
    for position, (_, row) in enumerate(rows):
        error, low, high = (100 * (1 - row[f"test_accuracy_{end}"]) for end in ("mean", "high", "low"))
        axes.errorbar(error, position, xerr=[[error - low], [high - error]], fmt="D", color="#4477aa", capsize=3)
    labels = [
        f"{'lean' if name == WHOLE else name.replace(f'{WHOLE} but ', 'lean, ')}\n{row['training_seconds_mean']:.1f} s"
        for name, row in rows
    ]
    axes.set_yticks(range(len(rows)), labels, fontsize="small")
    axes.invert_yaxis()
    seeds = min(int(row["n"]) for _, row in rows)
    axes.set(xlabel=f"test error, %: mean of {seeds} seeds, 95 % interval")
    axes.set_title("lean without each part (two jobs at once)", fontsize="medium")


def _with_interval(statistics: Spread, factor: float, digits: str) -> str:
    mean, low, high = (f"{factor * value:{digits}}" for value in (statistics.mean, statistics.low, statistics.high))
    return f"{mean} ({low} to {high})" if statistics.n > 1 else mean


def _epochs(job: Path) -> list[Metrics]:
    return read_metrics(job) if (job / METRICS).exists() else []


def _terminate(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(EXIT_TIMEOUT)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10, help="seeds of each recipe (default: %(default)s)")
    parser.add_argument(
        "--limit", type=float, default=3600, help="seconds for the report's network (default: %(default)s)"
    )
    parser.add_argument("--data-root", help="folder with data sets, like data.root")
    parser.add_argument("--device", default="cpu", help="trainer.device (default: %(default)s)")
    parser.add_argument("--no-write", dest="write", action="store_false", help="do not write to benchmarks/results")
    parser.add_argument("overrides", nargs="*", help="overrides for all runs, such as data=digits")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
