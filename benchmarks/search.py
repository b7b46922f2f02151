"""What pruning saves of a search, and how busy a search keeps its workers.

Run `python -m benchmarks.search pruning` and `python -m benchmarks.search busy`. The tables go into
`benchmarks/results/`, by the device's name.

`pruning`: the same search with and without a pruner, once for each seed of the sampler: epochs trained, and best value.
`busy`: two workers on trials of one epoch or of many; the share of the time from the first trial's start to the last
one's end that they spend in trials. Beside it what batches of two, as Hydra's launchers take them, would make of the
same trials: computed from how long each took, as a batch ends with its slower one.
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

from benchmarks.machine import described, headline, table, write_results

ROOT = Path(__file__).parents[1]

COMMON = (
    *("hydra/sweeper=search", "data=digits", "data.val_size=400", "data.train_size=640", "data.batch_size=16"),
    *("model.width=8", "model.blocks=[1,1]", "trainer.precision=fp32", "trainer.threads=1"),
    *("sweep.keep=none", "tracking=none", "sweep.objective_epoch=best"),
    *("optim.lr=tag(log,interval(1e-5,1))", "regularization.dropout=interval(0,0.8)"),
)
"""A network of some thousand weights on scikit-learn's digits, whose learning rate decides."""


def main(arguments: list[str] | None = None) -> None:
    """Measure, print the table, write the results."""
    options = _options(arguments)
    machine = described()
    print(headline(machine))
    with tempfile.TemporaryDirectory() as folder:
        measure = pruning if options.what == "pruning" else busy
        rows, said = measure(options, Path(folder))
    lines = [*table(rows), "", *said]
    print("\n".join(lines))
    if options.write:
        print(f"written: {write_results(f'search_{options.what}', machine, lines, {'rows': rows})}.md, .json")


def pruning(options: argparse.Namespace, folder: Path) -> tuple[list[dict[str, str]], list[str]]:
    """Rows by seed, and what they say together; several searches run at once, as epochs are counted, not timed."""
    pruners, seeds = ("none", options.pruner), range(1, options.seeds + 1)

    def search(of: tuple[int, str]) -> tuple[int, float]:
        """The epochs that were trained, and the best value."""
        seed, pruner = of
        jobs = _search(
            folder / f"{pruner}{seed}",
            *(f"trainer.epochs={options.epochs}", f"sweep.trials={options.trials}"),
            *(f"hydra/sweeper/pruner={pruner}", f"hydra.sweeper.sampler.seed={seed}"),
        )
        completed = [job["best"]["val_accuracy"] for job in jobs if job["status"] == "completed"]
        return sum(job["epochs_completed"] for job in jobs), max(completed)

    wanted = list(product(seeds, pruners))
    rows, saved, gained = [], [], []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = pool.map(search, wanted)
        for seed in seeds:
            (all_epochs, without), (epochs, best) = (next(found) for _ in pruners)
            saved.append(1 - epochs / all_epochs)
            gained.append(100 * (best - without))
            told = ((all_epochs, without), (epochs, best))
            figures = {name: f"{n} epochs, {100 * value:.2f} %" for name, (n, value) in zip(pruners, told, strict=True)}
            rows.append({"seed": str(seed), **figures, "epochs saved": f"{100 * saved[-1]:.0f} %"})
            print(rows[-1], flush=True)
    return rows, [
        f"{options.trials} trials of {options.epochs} epochs, objective val_accuracy of the best epoch.",
        f"Epochs saved: {_interval([100 * share for share in saved])} %.",
        f"Best value with the pruner less that without: {_interval(gained)} percentage points.",
    ]


def busy(options: argparse.Namespace, folder: Path) -> tuple[list[dict[str, str]], list[str]]:
    """One row for our workers, one for batches."""
    _search(
        folder,
        *("hydra/launcher=workers", "hydra.launcher.workers=2", "hydra/sweeper/pruner=none"),
        *(f"trainer.epochs=1,{options.epochs}", f"sweep.trials={options.trials}", "hydra/sweeper/sampler=random"),
    )
    spans = sorted(_spans(folder))
    seconds = [end - start for start, end in spans]
    as_it_was = sum(seconds) / (2 * (max(end for _, end in spans) - spans[0][0]))
    in_batches = sum(seconds) / (2 * sum(max(seconds[first : first + 2]) for first in range(0, len(seconds), 2)))
    rows = [
        {"two workers": "one by one, measured", "busy": f"{100 * as_it_was:.1f} %"},
        {"two workers": "in batches of two, computed", "busy": f"{100 * in_batches:.1f} %"},
    ]
    return rows, [
        f"{len(spans)} trials of 1 or {options.epochs} epochs, {min(seconds):.0f} to {max(seconds):.0f} s each."
    ]


def _search(folder: Path, *overrides: str) -> list[dict[str, Any]]:
    """The results of a search in `folder`."""
    command = [sys.executable, str(ROOT / "train.py"), "-m", *COMMON, *overrides, f"hydra.sweep.dir={folder}"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=os.environ | {"OMP_NUM_THREADS": "1"})
    return [json.loads(file.read_text()) for file in folder.glob("*/result.json")]


def _spans(folder: Path) -> list[tuple[float, float]]:
    """When each trial's attempt started and ended, seconds of the clock."""
    records = [json.loads(file.read_text()) for file in folder.glob("*=*/attempts/*.json")]
    clock = datetime.fromisoformat
    return [(clock(record["started"]).timestamp(), clock(record["ended"]).timestamp()) for record in records]


def _interval(values: list[float]) -> str:
    """Mean and 95 % interval (t)."""
    if len(values) < 2:
        return f"{mean(values):.2f} (n = 1)"
    half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
    return f"{mean(values):.2f} ± {half:.2f} (n = {len(values)}, 95 %)"


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search", description=__doc__)
    parser.add_argument("what", choices=["pruning", "busy"])
    parser.add_argument("--pruner", default="median")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--write", action="store_true", help="keep the figures in benchmarks/results/")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
