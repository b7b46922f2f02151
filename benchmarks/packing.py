"""Measures a sweep's throughput with several jobs at once on one device, compared with one job after the other.

Run `python -m benchmarks.packing` with one visible GPU (`CUDA_VISIBLE_DEVICES=0` selects it), or with `--device cpu`,
where each job gets one thread. All variants train the same seeds with the same program. Each job's loss and accuracy
are compared with those of the same job alone.
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

from benchmarks.config import ROOT, merge_overrides
from benchmarks.machine import describe_machine, headline, table, write_results
from mnist_resnet.job_folder import RESULT, read_json

TOGETHER = {"cpu": [1, 2], "cuda": [1, 2, 4, 8]}
"""Numbers of simultaneous jobs."""
WITHOUT_MPS = {"CUDA_MPS_PIPE_DIRECTORY": os.devnull}
"""Environment that keeps the launcher from starting a Multi-Process Service (MPS).

The launcher starts none if a pipe directory is configured; this one is not a directory, so that no service is used.
"""

Outcome = dict[str, Any]
"""Figures of one run of the sweep, as `run` returns them."""


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark, print its table and write its results."""
    options = _options(arguments)
    kind = options.device.partition(":")[0]
    variants = [("one after the other", 0, False)]
    for together in options.together or TOGETHER[kind]:
        for with_mps in (True, False) if kind == "cuda" and together > 1 else (False,):
            name = f"{together} at once" + (", MPS" if with_mps else ", in turns" if kind == "cuda" else "")
            variants.append((name, together, with_mps))
    outcomes: dict[str, list[Outcome]] = {name: [] for name, _, _ in variants}
    for repeat in range(options.repeats):
        for name, together, with_mps in variants:
            with tempfile.TemporaryDirectory() as folder:
                outcomes[name].append(run(Path(folder) / "sweep", together, with_mps, options))
            print(f"{repeat + 1}/{options.repeats} {name}: {outcomes[name][-1]['images_per_second']:.0f} images/s")
    machine = describe_machine(options.device)
    lines = [*table(rows(outcomes)), "", *_notes(options)]
    print("\n".join([headline(machine), *lines]))
    if options.write:
        print(f"written: {write_results('packing', machine, lines, {'outcomes': outcomes})}.md and .json")


def run(folder: Path, together: int, with_mps: bool, options: argparse.Namespace) -> Outcome:
    """Run the sweep once.

    Args:
        folder: the sweep folder, which does not exist yet.
        together: number of simultaneous jobs; 0 uses the sequential launcher.
        with_mps: whether the launcher may start a Multi-Process Service.
        options: the command line.

    Returns:
        `images_per_second` of all jobs together, from the first job's start to the last job's end; `whole`, the
        command's seconds; `losses` and `accuracies` by seed; `shared_by`, the launcher's line on sharing the GPU.

    Raises:
        SystemExit: A job did not complete.
    """
    seeds = ",".join(str(seed) for seed in range(1, options.jobs + 1))
    launcher = ["hydra/launcher=sequential"]
    if together:
        workers = "jobs_per_device" if options.device == "cuda" else "workers"
        launcher = ["hydra/launcher=workers", f"hydra.launcher.{workers}={together}"]
    size = [f"data.train_size={options.images}", "data.test_size=1000", f"trainer.epochs={options.epochs}"]
    fixed = [f"trainer.device={options.device}", "trainer.threads=1", "tracking=none", "sweep.keep=none"]
    overrides = merge_overrides(
        f"seed={seeds}", f"hydra.sweep.dir={folder}", *size, *fixed, *launcher, *options.overrides
    )
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "train.py", "-m", *overrides],
        cwd=ROOT,
        env=os.environ | ({} if with_mps else WITHOUT_MPS if options.device == "cuda" else {}),
        check=False,
        capture_output=True,
        text=True,
    )
    whole = time.perf_counter() - started
    results = [read_json(file) for file in folder.glob(f"*/{RESULT}")]
    if len(results) != options.jobs or any(result["status"] != "completed" for result in results):
        raise SystemExit(f"error: not all of the {options.jobs} jobs are completed\n{done.stdout}{done.stderr}")
    first_start = min(file.stat().st_mtime for file in folder.glob("*/.hydra/config.yaml"))
    last_end = max(file.stat().st_mtime for file in folder.glob(f"*/{RESULT}"))
    return {
        "images_per_second": options.jobs * options.images * options.epochs / (last_end - first_start),
        "whole": whole,
        "losses": {result["config"]["seed"]: result["last"]["train_loss"] for result in results},
        "accuracies": {result["config"]["seed"]: result["last"]["test_accuracy"] for result in results},
        "shared_by": next((line.strip() for line in done.stdout.splitlines() if "their GPU" in line), ""),
    }


def rows(outcomes: dict[str, list[Outcome]]) -> list[dict[str, str]]:
    """Return the table's rows.

    Figures are medians over the repeats. Ratios are medians of the ratios to the first variant in the same repeat.
    Differences in loss and accuracy are the largest of any job and repeat.
    """
    base, shown = next(iter(outcomes.values())), []
    for name, repeats in outcomes.items():
        rates, base_rates = ([outcome["images_per_second"] for outcome in runs] for runs in (repeats, base))
        ratios = [rate / base_rate for rate, base_rate in zip(rates, base_rates, strict=True)]
        loss, accuracy = (_largest_difference(repeats, base[0], key) for key in ("losses", "accuracies"))
        shown.append(
            {
                "jobs": name,
                "images/s": f"{median(rates):,.0f}",
                "ratio": f"{median(ratios):.2f}",
                "whole command, s": f"{median(outcome['whole'] for outcome in repeats):.1f}",
                "train loss differs by": f"{loss:.2g}",
                "test accuracy by": f"{100 * accuracy:.2g} points",
                "launcher's message": repeats[0]["shared_by"],
            }
        )
    return shown


def _largest_difference(outcomes: Sequence[Outcome], alone: Outcome, key: str) -> float:
    return max(float(abs(outcome[key][seed] - alone[key][seed])) for outcome in outcomes for seed in alone[key])


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.packing", description=__doc__)
    parser.add_argument("--device", default="cuda", choices=("cpu", "cuda"), help="device (default: %(default)s)")
    parser.add_argument("--together", type=int, nargs="+", help=f"numbers of jobs at once (default: {TOGETHER})")
    parser.add_argument("--jobs", type=int, default=8, help="jobs in the sweep (default: %(default)s)")
    parser.add_argument("--images", type=int, default=12_800, help="images in an epoch (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=2, help="epochs of a job (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=1, help="repeats of each variant (default: %(default)s)")
    parser.add_argument("--no-write", dest="write", action="store_false", help="do not write to benchmarks/results")
    parser.add_argument("overrides", nargs="*", help="overrides for every job")
    return parser.parse_args(arguments)


def _notes(options: argparse.Namespace) -> list[str]:
    return [
        f"{options.jobs} jobs of {options.epochs} × {options.images} images, from the first job's start to the last "
        f"job's end; {options.repeats} repeats of each variant, in turns. Differences are to the first repeat of the "
        "same jobs one after the other; those in the first row are between its repeats.",
    ]


if __name__ == "__main__":
    main()
