"""What precision and compiling do to accuracy: the same seeds by each form of the step, and the differences by seed.

Run `python -m benchmarks.accuracy`; on a GPU `--device cuda`, at full scale. The sweeps are ordinary ones of `train.py`
and lie in `multirun/accuracy_…`; the same command goes on where it was stopped.
"""

import argparse
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.composed import ROOT, merged
from benchmarks.machine import described, headline, table, write_results
from mnist_resnet.job_folder import RESULT, read_json

FORMS = {
    "cpu": {
        "fp32, eager": ("fp32", "false"),
        "bf16, eager": ("bf16", "false"),
        "bf16, compiled": ("bf16", "true"),
    },
    "cuda": {
        "tf32, eager": ("tf32", "false"),  # PyTorch's defaults for convolutions, as the report ran
        "bf16, eager": ("bf16", "false"),
        "bf16, graph": ("bf16", "auto"),
        "bf16, compiled, graph": ("bf16", "true"),
    },
}
"""By device: precision and `trainer.compile`; the first is what the others are compared with."""
SCALE = {
    "cpu": ["scale=quick", "data.test_size=2000", "trainer.threads=1", "trainer.epochs=10"],
    "cuda": [],
}
METRICS = {"test_accuracy": 100.0, "train_accuracy": 100.0, "test_loss": 1.0}
"""Of the last epoch; factors to the units of the table: per cent, and nats."""

Figures = dict[str, dict[int, dict[str, float]]]


def main(arguments: list[str] | None = None) -> None:
    """Train what is missing, print the table, write the results."""
    options = _options(arguments)
    kind = options.device.partition(":")[0]
    figures: Figures = {}
    for form, (precision, compiled) in FORMS[kind].items():
        folder = Path(options.folder) / f"{_name(options)}_{form.replace(', ', '_')}"
        overrides = [f"trainer.precision={precision}", f"trainer.compile={compiled}", f"trainer.device={kind}"]
        figures[form] = trained(folder, options.seeds, merged(*SCALE[kind], *overrides, *options.overrides))
    machine = described(options.device)
    lines = [*table(rows(figures)), "", *_notes(SCALE[kind], options)]
    print("\n".join([headline(machine), *lines]))
    if options.write:
        print(f"written: {write_results(_name(options), machine, lines, {'figures': figures})}.md and .json")


def trained(folder: Path, seeds: int, overrides: Sequence[str]) -> dict[int, dict[str, float]]:
    """The figures of each seed's last epoch; what is not in the sweep folder yet is trained."""
    numbers = ",".join(str(seed) for seed in range(1, seeds + 1))
    quiet = ["tracking=none", "sweep.keep=none", "hydra/launcher=workers"]
    command = [sys.executable, "train.py", "-m", f"seed={numbers}", f"hydra.sweep.dir={folder}", *quiet, *overrides]
    if subprocess.run(command, cwd=ROOT, check=False).returncode:
        raise SystemExit(f"error: the sweep in {folder} did not end well; the same command goes on with it")
    results = [read_json(file) for file in sorted(folder.glob(f"*/{RESULT}"))]
    return {result["config"]["seed"]: _last(result) for result in results if result["config"]["seed"] <= seeds}


def rows(figures: Mapping[str, Mapping[int, Mapping[str, float]]]) -> list[dict[str, str]]:
    """Means, and the differences to the first form over the seeds that both have, with their interval."""
    from mnist_resnet.comparing.statistics import spread

    base, shown = next(iter(figures.values())), []
    for form, by_seed in figures.items():
        row = {"form": form, "n": str(len(by_seed))}
        for metric, factor in METRICS.items():
            mean = spread([factor * last[metric] for last in by_seed.values()]).mean
            both = sorted(base.keys() & by_seed.keys())
            more = spread([factor * (by_seed[seed][metric] - base[seed][metric]) for seed in both])
            row[metric] = f"{mean:.3f}"
            row[f"{metric}: more"] = (
                "" if by_seed is base else f"{more.mean:+.3f} ({more.low:+.3f} to {more.high:+.3f})"
            )
        row["images/s a job"] = f"{spread([last['images_per_second'] for last in by_seed.values()]).mean:,.0f}"
        shown.append(row)
    return shown


def _last(result: dict[str, Any]) -> dict[str, float]:
    if result["status"] != "completed":
        raise SystemExit(f"error: {result['name']} is {result['status']}, its accuracy can't be compared")
    return {**{metric: result["last"][metric] for metric in METRICS}, "images_per_second": result["images_per_second"]}


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__)
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=5, help="(default: %(default)s)")
    parser.add_argument("--label", help="of sweeps and results, where overrides make them others")
    parser.add_argument("--folder", default=str(ROOT / "multirun"), help="of the sweeps (default: multirun)")
    parser.add_argument("--no-write", dest="write", action="store_false", help="leave benchmarks/results alone")
    parser.add_argument("overrides", nargs="*", help="further ones, of every job")
    return parser.parse_args(arguments)


def _name(options: argparse.Namespace) -> str:
    return f"accuracy_{options.label}" if options.label else "accuracy"


def _notes(scale: Sequence[str], options: argparse.Namespace) -> list[str]:
    return [
        f"Of the last epoch; accuracies in per cent. Differences to the first row are paired by seed, with their 95 % "
        f"interval (Student's t). Overrides: {' '.join(merged(*scale, *options.overrides)) or 'none'}.",
    ]


if __name__ == "__main__":
    main()
