"""Measures how many epochs pruning saves in a search, and how busy a search keeps its workers.

Run `python -m benchmarks.search pruning` or `python -m benchmarks.search busy`. The tables are written to
`benchmarks/results/`, named after the device.

`pruning` runs the same search with and without a pruner, once for each seed of the sampler. It compares the number of
trained epochs and the best value.

`busy` runs trials of one epoch or of many on two workers. It gives the share of time, from the first trial's start to
the last trial's end, that the workers spend in trials. For comparison, it computes that share for the same trials in
batches of two, as with Hydra's launchers, where a batch lasts as long as its slower trial.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from itertools import product
from pathlib import Path
from statistics import mean
from typing import Any

from scipy import stats

from benchmarks.machine import describe_machine, headline, table, write_results

ROOT = Path(__file__).parents[1]

COMMON = (
    *("hydra/sweeper=search", "data=digits", "data.val_size=400", "data.train_size=640", "data.batch_size=16"),
    *("model.width=8", "model.blocks=[1,1]", "trainer.precision=fp32", "trainer.threads=1"),
    *("sweep.keep=none", "tracking=none", "sweep.objective_epoch=best"),
    *("optim.lr=tag(log,interval(1e-5,1))", "regularization.dropout=interval(0,0.8)"),
)
"""A network of a few thousand weights on scikit-learn's digits; its result depends on the learning rate mostly."""


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark, print its table and write its results."""
    options = _options(arguments)
    machine = describe_machine()
    print(headline(machine))
    with tempfile.TemporaryDirectory() as folder:
        measure = pruning if options.what == "pruning" else busy
        rows, notes = measure(options, Path(folder))
    lines = [*table(rows), "", *notes]
    print("\n".join(lines))
    if options.write:
        print(f"written: {write_results(f'search_{options.what}', machine, lines, {'rows': rows})}.md, .json")


def pruning(options: argparse.Namespace, folder: Path) -> tuple[list[dict[str, str]], list[str]]:
    """Return one row per seed, and lines that summarise them.

    Several searches run at once, because epochs are counted and not timed.
    """
    pruners, seeds = ("none", options.pruner), range(1, options.seeds + 1)

    def search(variant: tuple[int, str]) -> tuple[int, float]:
        """Return the number of trained epochs and the best value of the search with a seed and a pruner."""
        seed, pruner = variant
        jobs = _search(
            folder / f"{pruner}{seed}",
            *(f"trainer.epochs={options.epochs}", f"sweep.trials={options.trials}"),
            *(f"hydra/sweeper/pruner={pruner}", f"hydra.sweeper.sampler.seed={seed}"),
        )
        completed = [job["best"]["val_accuracy"] for job in jobs if job["status"] == "completed"]
        return sum(job["epochs_completed"] for job in jobs), max(completed)

    rows, saved, gained = [], [], []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = pool.map(search, list(product(seeds, pruners)))
        for seed in seeds:
            without_pruner, with_pruner = (next(results) for _ in pruners)
            saved.append(1 - with_pruner[0] / without_pruner[0])
            gained.append(100 * (with_pruner[1] - without_pruner[1]))
            figures = {
                pruner: f"{epochs} epochs, {100 * best:.2f} %"
                for pruner, (epochs, best) in zip(pruners, (without_pruner, with_pruner), strict=True)
            }
            rows.append({"seed": str(seed), **figures, "epochs saved": f"{100 * saved[-1]:.0f} %"})
            print(rows[-1], flush=True)
    return rows, [
        f"{options.trials} trials of {options.epochs} epochs, objective val_accuracy of the best epoch.",
        f"Epochs saved: {_mean_with_interval([100 * share for share in saved])} %.",
        f"Best value with the pruner minus without: {_mean_with_interval(gained)} percentage points.",
    ]


def busy(options: argparse.Namespace, folder: Path) -> tuple[list[dict[str, str]], list[str]]:
    """Return one row for the measured workers and one for computed batches, and a line on the trials."""
    _search(
        folder,
        *("hydra/launcher=workers", "hydra.launcher.workers=2", "hydra/sweeper/pruner=none"),
        *(f"trainer.epochs=1,{options.epochs}", f"sweep.trials={options.trials}", "hydra/sweeper/sampler=random"),
    )
    spans = sorted(_spans(folder))
    seconds = [end - start for start, end in spans]
    measured = sum(seconds) / (2 * (max(end for _, end in spans) - spans[0][0]))
    in_batches = sum(seconds) / (2 * sum(max(seconds[first : first + 2]) for first in range(0, len(seconds), 2)))
    rows = [
        {"two workers": "one by one, measured", "busy": f"{100 * measured:.1f} %"},
        {"two workers": "in batches of two, computed", "busy": f"{100 * in_batches:.1f} %"},
    ]
    return rows, [
        f"{len(spans)} trials of 1 or {options.epochs} epochs, {min(seconds):.0f} to {max(seconds):.0f} s each."
    ]


def _search(folder: Path, *overrides: str) -> list[dict[str, Any]]:
    """Run a search in `folder` and return its jobs' results."""
    command = [sys.executable, str(ROOT / "train.py"), "-m", *COMMON, *overrides, f"hydra.sweep.dir={folder}"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=os.environ | {"OMP_NUM_THREADS": "1"})
    return [json.loads(file.read_text()) for file in folder.glob("*/result.json")]


def _spans(folder: Path) -> list[tuple[float, float]]:
    """Return the start and end of each trial's attempt, in seconds since 1970."""
    records = [json.loads(file.read_text()) for file in folder.glob("*=*/attempts/*.json")]
    parse = datetime.fromisoformat
    return [(parse(record["started"]).timestamp(), parse(record["ended"]).timestamp()) for record in records]


def _mean_with_interval(values: list[float]) -> str:
    """Format the mean and its 95 % interval (Student's t)."""
    if len(values) < 2:
        return f"{mean(values):.2f} (n = 1)"
    half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
    return f"{mean(values):.2f} ± {half:.2f} (n = {len(values)}, 95 %)"


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search", description=__doc__)
    parser.add_argument("what", choices=["pruning", "busy"], help="the measurement")
    parser.add_argument("--pruner", default="median", help="option of hydra/sweeper/pruner (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=10, help="seeds of the sampler (default: %(default)s)")
    parser.add_argument("--trials", type=int, default=30, help="trials of a search (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=12, help="epochs of a (long) trial (default: %(default)s)")
    parser.add_argument("--write", action="store_true", help="write the results to benchmarks/results/")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
