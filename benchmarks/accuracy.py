"""Measures how precision, compilation and the convolutions' form affect accuracy, with the same seeds for each.

Run `python -m benchmarks.accuracy`; on a GPU, with `--device cuda`, at full scale. Each form is an ordinary sweep of
`train.py` in `multirun/accuracy_…`. If the command was interrupted, run it again to continue.
"""

import argparse
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.config import ROOT, merge_overrides
from benchmarks.machine import describe_machine, headline, table, write_results
from mnist_resnet.job_folder import RESULT, read_json

FORMS = {
    "cpu": {
        "fp32, eager": ("fp32", "false", "pytorch"),
        "fp32, eager, Winograd": ("fp32", "false", "winograd"),
        "fp32, eager, fastest forms": ("fp32", "false", "auto"),
        "bf16, eager": ("bf16", "false", "auto"),
        "bf16, compiled": ("bf16", "true", "auto"),
    },
    "cuda": {
        "tf32, eager": ("tf32", "false", "auto"),  # PyTorch's default for convolutions, as in the report
        "bf16, eager": ("bf16", "false", "auto"),
        "bf16, graph": ("bf16", "auto", "auto"),
        "bf16, compiled, graph": ("bf16", "true", "auto"),
    },
}
"""`trainer.precision`, `compile` and `convolutions` of each form, by device; the others are compared with the first."""
SCALE = {
    "cpu": ["scale=quick", "data.test_size=2000", "trainer.threads=1", "trainer.epochs=10"],
    "cuda": [],
}
METRICS = {"test_accuracy": 100.0, "train_accuracy": 100.0, "test_loss": 1.0}
"""Metrics of the last epoch, with the factor to the table's unit: per cent or nats."""

Figures = dict[str, dict[int, dict[str, float]]]
"""By form and seed: `METRICS` of the last epoch, and `images_per_second`."""


def main(arguments: list[str] | None = None) -> None:
    """Train the missing jobs, print the table and write the results."""
    options = _options(arguments)
    kind = options.device.partition(":")[0]
    figures: Figures = {}
    for form, (precision, compiled, convolutions) in FORMS[kind].items():
        if options.only and not any(part in form for part in options.only):
            continue
        folder = Path(options.folder) / f"{_name(options)}_{form.replace(', ', '_').replace(' ', '_')}"
        overrides = [f"trainer.precision={precision}", f"trainer.compile={compiled}", f"trainer.device={kind}"]
        overrides += [f"trainer.convolutions={convolutions}"]
        figures[form] = train(folder, options.seeds, merge_overrides(*SCALE[kind], *overrides, *options.overrides))
    machine = describe_machine(options.device)
    lines = [*table(rows(figures)), "", *_notes(SCALE[kind], options)]
    print("\n".join([headline(machine), *lines]))
    if options.write:
        print(f"written: {write_results(_name(options), machine, lines, {'figures': figures})}.md and .json")


def train(folder: Path, seeds: int, overrides: Sequence[str]) -> dict[int, dict[str, float]]:
    """Train the seeds that are not in the sweep folder yet, and return each seed's figures of the last epoch.

    Raises:
        SystemExit: The sweep or a job did not complete.
    """
    numbers = ",".join(str(seed) for seed in range(1, seeds + 1))
    quiet = ["tracking=none", "sweep.keep=none", "hydra/launcher=workers"]
    command = [sys.executable, "train.py", "-m", f"seed={numbers}", f"hydra.sweep.dir={folder}", *quiet, *overrides]
    if subprocess.run(command, cwd=ROOT, check=False).returncode:
        raise SystemExit(f"error: the sweep in {folder} failed; run the same command again to continue it")
    results = [read_json(file) for file in sorted(folder.glob(f"*/{RESULT}"))]
    return {result["config"]["seed"]: _last(result) for result in results if result["config"]["seed"] <= seeds}


def rows(figures: Mapping[str, Mapping[int, Mapping[str, float]]]) -> list[dict[str, str]]:
    """Return the table's rows: means, and differences to the first form, paired by seed, with their 95 % interval."""
    from mnist_resnet.comparing.statistics import spread

    base, shown = next(iter(figures.values())), []
    for form, by_seed in figures.items():
        row = {"form": form, "n": str(len(by_seed))}
        for metric, factor in METRICS.items():
            mean = spread([factor * last[metric] for last in by_seed.values()]).mean
            common_seeds = sorted(base.keys() & by_seed.keys())
            difference = spread([factor * (by_seed[seed][metric] - base[seed][metric]) for seed in common_seeds])
            row[metric] = f"{mean:.3f}"
            row[f"{metric}: difference"] = (
                "" if by_seed is base else f"{difference.mean:+.3f} ({difference.low:+.3f} to {difference.high:+.3f})"
            )
        row["images/s per job"] = f"{spread([last['images_per_second'] for last in by_seed.values()]).mean:,.0f}"
        shown.append(row)
    return shown


def _last(result: dict[str, Any]) -> dict[str, float]:
    if result["status"] != "completed":
        raise SystemExit(f"error: {result['name']} is {result['status']}, so its accuracy can't be compared")
    return {**{metric: result["last"][metric] for metric in METRICS}, "images_per_second": result["images_per_second"]}


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__)
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=5, help="number of seeds (default: %(default)s)")
    parser.add_argument("--only", action="append", metavar="PART", help="train only forms with PART in their names")
    parser.add_argument("--label", help="suffix for the names of sweeps and results; use it with overrides")
    parser.add_argument("--folder", default=str(ROOT / "multirun"), help="folder for the sweeps (default: multirun)")
    parser.add_argument("--no-write", dest="write", action="store_false", help="do not write to benchmarks/results")
    parser.add_argument("overrides", nargs="*", help="overrides for every job")
    return parser.parse_args(arguments)


def _name(options: argparse.Namespace) -> str:
    return f"accuracy_{options.label}" if options.label else "accuracy"


def _notes(scale: Sequence[str], options: argparse.Namespace) -> list[str]:
    overrides = merge_overrides(*scale, *options.overrides)
    return [
        "Metrics of the last epoch; accuracies in per cent. Differences to the first row are paired by seed, with "
        f"their 95 % interval (Student's t). Overrides: {' '.join(overrides) or 'none'}.",
    ]


if __name__ == "__main__":
    main()
