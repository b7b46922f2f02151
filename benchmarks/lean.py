"""How much less the lean recipes take than the report's network to the same test accuracy, side by side in one run.

Run `python -m benchmarks.lean` (on two CPU cores about an hour, most of it the report's network up to `--limit`). Each
run is the program from the shell. Half of the recipes' seeds run before the report's network and half after it. The
table and a plot go into `benchmarks/results/`; beside the runs the plot shows the record of `+sweep=lean_ablation`.
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
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

from benchmarks.composed import ROOT
from benchmarks.machine import described, headline, table, write_results
from benchmarks.startup import environment
from mnist_resnet.comparing.statistics import Spread, spread
from mnist_resnet.job_folder import LOG, METRICS, Metrics, read_metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RECIPES = {"lean99": 0.99, "lean": 0.9944}
"""Experiments, and the mean test accuracy that each is to reach; 99.44 % is the report's best figure."""

REPORT = "report_e_30_epochs"
RECORD = ROOT / "multirun" / "records" / "lean_ablation"
WHOLE = "A"
"""What the comparison calls the group of seeds from which most changes begin: the whole recipe."""
POLL = 0.02
PATIENCE = 60.0
"""Seconds for a run that was asked to end."""


@dataclass(frozen=True)
class Trained:
    """A run from the shell.

    Attributes:
        experiment: of `conf/experiment`.
        seed: of it.
        start: seconds from the process's start to its first step's loss: imports, data, building, and compiling if the
            program does it.
        epochs: a line of `metrics.jsonl` for each; `training_seconds` are of the steps alone.
        ended: False if it was stopped, at the limit or with all targets reached.
    """

    experiment: str
    seed: int
    start: float
    epochs: list[Metrics]
    ended: bool

    @property
    def seconds(self) -> float:
        """Of training."""
        return sum(epoch["training_seconds"] for epoch in self.epochs)

    def to_reach(self, accuracy: float) -> float | None:
        """Seconds of training up to the end of the first epoch with this test accuracy; None if there is none."""
        for number, epoch in enumerate(self.epochs, start=1):
            if epoch["test_accuracy"] >= accuracy:
                return sum(one["training_seconds"] for one in self.epochs[:number])
        return None


def main(arguments: list[str] | None = None) -> None:
    """Measure, print the tables, write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10, help="of each recipe (default: %(default)s)")
    parser.add_argument("--limit", type=float, default=3600, help="seconds for the report's network (%(default)s)")
    parser.add_argument("--data-root", help="folder with MNIST in it, if not where the program looks by itself")
    parser.add_argument("--device", default="cpu", help="trainer.device (default: %(default)s)")
    parser.add_argument("--no-write", dest="write", action="store_false", help="leave benchmarks/results alone")
    parser.add_argument("overrides", nargs="*", help="of all runs, such as data=digits")
    options = parser.parse_args(arguments)
    root = [f"data.root={Path(options.data_root).absolute()}"] if options.data_root else []
    overrides = [*root, f"trainer.device={options.device}", *options.overrides]
    machine = described(options.device)
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
) -> Trained:
    """A run of `experiment`, stopped after `limit` seconds of training and evaluation, or with accuracy `enough`.

    Raises:
        SystemExit: it failed, or ended no epoch within the limit.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name, (Path(name) / "said").open("w+") as said:
        job, start = Path(name) / "run", 0.0
        fixed = [f"experiment={experiment}", f"seed={seed}", "tracking=none", "sweep.keep=none", "hydra.run.dir=run"]
        command = [sys.executable, str(ROOT / "train.py"), *fixed, *overrides]
        started = time.perf_counter()
        process = subprocess.Popen(command, cwd=name, env=environment(), stdout=said, stderr=said, process_group=0)
        try:
            while process.poll() is None and (not start or time.perf_counter() - started < start + limit):
                if not start and (job / LOG).exists() and "Loss:" in (job / LOG).read_text(encoding="utf-8"):
                    start = time.perf_counter() - started
                if enough <= max((epoch["test_accuracy"] for epoch in _epochs(job)), default=0.0):
                    break
                time.sleep(POLL)
            ended = process.poll() is not None
        finally:
            _end(process)
        if (ended and process.returncode) or not _epochs(job):
            raise SystemExit(f"{experiment}: no epoch ended: {(Path(name) / 'said').read_text()}")
        run = Trained(experiment, seed, start, _epochs(job), ended)
    print(
        f"{experiment}, seed {seed}: {100 * run.epochs[-1]['test_accuracy']:.2f} % after {len(run.epochs)} epochs, "
        f"{run.seconds:.1f} s of training; first step after {start:.1f} s",
        flush=True,
    )
    return run


def recipe_lines(runs: Sequence[Trained]) -> list[str]:
    """A table of the recipes, each over its seeds; and whether each reaches what it is to reach."""
    rows, missed = [], []
    for name, target in RECIPES.items():
        mine = [run for run in runs if run.experiment == name]
        accuracy = spread([run.epochs[-1]["test_accuracy"] for run in mine])
        seconds = spread([run.seconds for run in mine])
        if accuracy.mean < target:
            missed.append(f"{name} does not reach {100 * target:.2f} % in the mean of these seeds.")
        rows.append(
            {
                "recipe": name,
                "seeds": str(len(mine)),
                "test accuracy, %": _with_interval(accuracy, 100, ".3f"),
                "training, s": _with_interval(seconds, 1, ".3g"),
                "first step after, s": f"{mean(run.start for run in mine):.2f}",
            }
        )
    return [*table(rows), "", "Last epoch; means with 95 % intervals (Student's t).", *missed]


def report_lines(report: Trained, recipes: Sequence[Trained]) -> list[str]:
    """The report's network to each recipe's accuracy, and the ratio; or what it has not reached, said plainly."""
    each = report.seconds / len(report.epochs)
    best = max(epoch["test_accuracy"] for epoch in report.epochs)
    rows = []
    for name, target in RECIPES.items():
        lean = mean(run.seconds for run in recipes if run.experiment == name)
        reached = report.to_reach(target)
        rows.append(
            {
                "to": f"{100 * target:.2f} %",
                "the report's network, s": f"{reached:.4g}" if reached else f"not in {report.seconds:.4g}",
                "recipe, s": f"{lean:.3g} ({name})",
                "ratio": f"{reached / lean:.3g}" if reached else f"more than {report.seconds / lean:.3g}",
            }
        )
    why = "all targets reached" if report.to_reach(max(RECIPES.values())) else "at the limit"
    stopped = "ran to its end" if report.ended else f"was stopped, {why}"
    return [
        *table(rows),
        "",
        f"The report's network ({REPORT}, one seed): {each:.4g} s an epoch, {len(report.epochs)} epochs, best "
        f"{100 * best:.2f} %; it {stopped}. Its first step came after {report.start:.2f} s. Its time is up to the "
        "first epoch whose test accuracy reaches the target, which flatters it; a recipe's is its whole run.",
    ]


def plot(report: Trained, recipes: Sequence[Trained], machine: dict[str, Any], path: Path) -> None:
    """Test error against seconds of training; beside it what `lean` loses without each part, if its record is there."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.2), layout="constrained")
    figure.suptitle(f"{machine['gpu'] or machine['cpu']}, torch {machine['versions']['torch']}", fontsize="medium")
    beside, parts = figure.subplots(1, 2, width_ratios=(3, 2))
    _against_time(beside, report, recipes)
    if RECORD.exists():
        _without_each(parts)
    figure.savefig(path, dpi=120)


def _against_time(axes: "Axes", report: Trained, recipes: Sequence[Trained]) -> None:
    from matplotlib.ticker import LogLocator, NullLocator

    elapsed = [sum(one["training_seconds"] for one in report.epochs[: end + 1]) for end in range(len(report.epochs))]
    errors = [100 * (1 - epoch["test_accuracy"]) for epoch in report.epochs]
    axes.plot(elapsed, errors, "s-", color="#cc6677", label="the report's network, epoch by epoch (one seed)")
    for name, color in zip(RECIPES, ("#117733", "#4477aa"), strict=True):
        mine = [run for run in recipes if run.experiment == name]
        seconds, error = [run.seconds for run in mine], [100 * (1 - run.epochs[-1]["test_accuracy"]) for run in mine]
        axes.plot(seconds, error, ".", color=color, alpha=0.4)
        axes.plot(mean(seconds), mean(error), "D", color=color, label=f"{name}: mean of {len(mine)} seeds, and each")
    for target in RECIPES.values():
        axes.axhline(100 * (1 - target), color="#999999", linewidth=0.8, linestyle="--")
        said, at = f"{100 * target:.2f} % read right", (0.45, 100 * (1 - target))
        axes.annotate(said, at, xycoords=("axes fraction", "data"), va="bottom", fontsize="small", color="#555555")
    axes.set(xscale="log", yscale="log", xlabel="training, seconds", ylabel="test error, %")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter("{x:g}")
    axes.set_ylim(bottom=axes.get_ylim()[0] / 2)
    axes.legend(fontsize="small", loc="lower right")


def _without_each(axes: "Axes") -> None:
    from mnist_resnet import load_sweep
    from mnist_resnet.comparing.changes import changes, short_names
    from mnist_resnet.comparing.factors import distinguishing_factors
    from mnist_resnet.comparing.levels import level_text
    from mnist_resnet.comparing.statistics import seeds_summary

    frame = load_sweep(RECORD)
    factors = distinguishing_factors(frame)
    names = short_names(changes(frame, "test_accuracy"))
    summary = seeds_summary(frame, factors, ["test_accuracy", "training_seconds"])
    told = [(names.get(tuple(level_text(row[key]) for key in factors), ""), row) for _, row in summary.iterrows()]
    rows = [(name, row) for name, row in told if name.startswith(WHOLE)]
    for place, (_, row) in enumerate(rows):
        error, low, high = (100 * (1 - row[f"test_accuracy_{end}"]) for end in ("mean", "high", "low"))
        axes.errorbar(error, place, xerr=[[error - low], [high - error]], fmt="D", color="#4477aa", capsize=3)
    labels = [
        f"{'lean' if name == WHOLE else name.replace(f'{WHOLE} but ', 'lean, ')}\n{row['training_seconds_mean']:.1f} s"
        for name, row in rows
    ]
    axes.set_yticks(range(len(rows)), labels, fontsize="small")
    axes.invert_yaxis()
    least = min(int(row["n"]) for _, row in rows)
    axes.set(xlabel=f"test error, %: mean of {least} seeds, 95 % interval")
    axes.set_title("lean without each part (two jobs at once)", fontsize="medium")


def _with_interval(found: Spread, factor: float, digits: str) -> str:
    mean, low, high = (f"{factor * value:{digits}}" for value in (found.mean, found.low, found.high))
    return f"{mean} ({low} to {high})" if found.n > 1 else mean


def _epochs(job: Path) -> list[Metrics]:
    return read_metrics(job) if (job / METRICS).exists() else []


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


if __name__ == "__main__":
    main()
