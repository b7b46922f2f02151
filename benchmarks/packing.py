"""A sweep's throughput with one, two, four, eight jobs at once on one device, beside one job after the other.

Run `python -m benchmarks.packing` where there is one GPU (`CUDA_VISIBLE_DEVICES=0` picks it), or `--device cpu`, where
each job gets one thread. Every variant trains the same seeds by the same program; each job's figures are held against
those of the same job alone.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.composed import ROOT, merged
from benchmarks.machine import described, headline, table, write_results
from mnist_resnet.job_folder import RESULT, read_json

TOGETHER = {"cpu": [1, 2], "cuda": [1, 2, 4, 8]}
WITHOUT_SERVICE = {"CUDA_MPS_PIPE_DIRECTORY": os.devnull}
"""What keeps the launcher from starting a Multi-Process Service: it believes that one is set up, and there is none."""

Outcome = dict[str, Any]


def main(arguments: list[str] | None = None) -> None:
    """Measure, print the table, write the results."""
    options = _options(arguments)
    kind = options.device.partition(":")[0]
    variants = [("one after the other", 0, False)]
    for together in options.together or TOGETHER[kind]:
        services = (True, False) if kind == "cuda" and together > 1 else (False,)
        for service in services:
            name = f"{together} at once" + (", MPS" if service else ", in turns" if kind == "cuda" else "")
            variants.append((name, together, service))
    outcomes: dict[str, list[Outcome]] = {name: [] for name, _, _ in variants}
    for repeat in range(options.repeats):
        for name, together, service in variants:
            with tempfile.TemporaryDirectory() as folder:
                outcomes[name].append(run(Path(folder) / "sweep", together, service, options))
            print(f"{repeat + 1}/{options.repeats} {name}: {outcomes[name][-1]['images_per_second']:.0f} images/s")
    machine = described(options.device)
    lines = [*table(rows(outcomes)), "", *_notes(options)]
    print("\n".join([headline(machine), *lines]))
    if options.write:
        print(f"written: {write_results('packing', machine, lines, {'outcomes': outcomes})}.md and .json")


def run(folder: Path, together: int, service: bool, options: argparse.Namespace) -> Outcome:
    """Run the sweep once; 0 together: by the sequential launcher."""
    seeds = ",".join(str(seed) for seed in range(1, options.jobs + 1))
    launcher = ["hydra/launcher=sequential"]
    if together:
        workers = "jobs_per_device" if options.device == "cuda" else "workers"
        launcher = ["hydra/launcher=workers", f"hydra.launcher.{workers}={together}"]
    size = [f"data.train_size={options.images}", "data.test_size=1000", f"trainer.epochs={options.epochs}"]
    fixed = [f"trainer.device={options.device}", "trainer.threads=1", "tracking=none", "sweep.keep=none"]
    overrides = merged(f"seed={seeds}", f"hydra.sweep.dir={folder}", *size, *fixed, *launcher, *options.overrides)
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "train.py", "-m", *overrides],
        cwd=ROOT,
        env=os.environ | ({} if service else WITHOUT_SERVICE if options.device == "cuda" else {}),
        check=False,
        capture_output=True,
        text=True,
    )
    whole = time.perf_counter() - started
    results = [read_json(file) for file in folder.glob(f"*/{RESULT}")]
    if len(results) != options.jobs or any(result["status"] != "completed" for result in results):
        raise SystemExit(f"error: not all of the {options.jobs} jobs are completed\n{done.stdout}{done.stderr}")
    begun = min(file.stat().st_mtime for file in folder.glob("*/.hydra/config.yaml"))
    ended = max(file.stat().st_mtime for file in folder.glob(f"*/{RESULT}"))
    return {
        "images_per_second": options.jobs * options.images * options.epochs / (ended - begun),
        "whole": whole,
        "losses": {result["config"]["seed"]: result["last"]["train_loss"] for result in results},
        "accuracies": {result["config"]["seed"]: result["last"]["test_accuracy"] for result in results},
        "shared_by": next((line.strip() for line in done.stdout.splitlines() if "their GPU" in line), ""),
    }


def rows(outcomes: dict[str, list[Outcome]]) -> list[dict[str, str]]:
    """Medians; ratios are medians of those within a repeat, and differences the greatest of any job."""
    base, shown = next(iter(outcomes.values())), []
    for name, of_it in outcomes.items():
        ratios = [one["images_per_second"] / other["images_per_second"] for one, other in zip(of_it, base, strict=True)]
        loss, accuracy = (_greatest(of_it, base[0], key) for key in ("losses", "accuracies"))
        shown.append(
            {
                "jobs": name,
                "images/s": f"{median(one['images_per_second'] for one in of_it):,.0f}",
                "ratio": f"{median(ratios):.2f}",
                "whole command, s": f"{median(one['whole'] for one in of_it):.1f}",
                "train loss differs by": f"{loss:.2g}",
                "test accuracy by": f"{100 * accuracy:.2g} points",
                "said": of_it[0]["shared_by"],
            }
        )
    return shown


def _greatest(outcomes: Sequence[Outcome], alone: Outcome, key: str) -> float:
    return max(float(abs(one[key][seed] - alone[key][seed])) for one in outcomes for seed in alone[key])


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.packing", description=__doc__)
    parser.add_argument("--device", default="cuda", choices=("cpu", "cuda"), help="(default: %(default)s)")
    parser.add_argument("--together", type=int, nargs="+", help=f"jobs at once (default: {TOGETHER})")
    parser.add_argument("--jobs", type=int, default=8, help="of the sweep (default: %(default)s)")
    parser.add_argument("--images", type=int, default=12_800, help="of an epoch (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=2, help="of a job (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=1, help="of each (default: %(default)s)")
    parser.add_argument("--no-write", dest="write", action="store_false", help="leave benchmarks/results alone")
    parser.add_argument("overrides", nargs="*", help="further ones, of every job")
    return parser.parse_args(arguments)


def _notes(options: argparse.Namespace) -> list[str]:
    return [
        f"{options.jobs} jobs of {options.epochs} × {options.images} images, from the first job's start to the last "
        f"one's end; {options.repeats} of each in turns. Differences are to the same jobs one after the other: the "
        f"first row's own are those of a repeat.",
    ]


if __name__ == "__main__":
    main()
