"""Measures a sweep's training throughput with `hydra/launcher=workers`, compared with one job after the other.

Run `python -m benchmarks.workers`. Both run the same jobs with the same program, as a user would. They take turns, so
that a disturbance of the machine affects both.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from benchmarks.machine import describe_machine, headline, table, write_results
from mnist_resnet.job_folder import HYDRA, RESULT, read_json

ROOT = Path(__file__).parents[1]

Rates = dict[str, float]
"""Trained images per second, of all jobs together.

`whole` is over the whole command. `training` is from the first job's start to the last job's end, without the program's
start and the final table.
"""


def run(folder: Path, launcher: Sequence[str], arguments: argparse.Namespace) -> Rates:
    """Run the sweep once in `folder`, and return its rates.

    Raises:
        SystemExit: A job did not complete.
    """
    seeds = ",".join(str(seed) for seed in range(1, arguments.jobs + 1))
    sweep = [f"seed={seeds}", f"hydra.sweep.dir={folder}", f"data.train_size={arguments.images}"]
    size = [f"trainer.epochs={arguments.epochs}", f"data.test_size={arguments.test_images}"]
    quiet = ["tracking=none", "sweep.keep=none"]
    command = [sys.executable, "train.py", "-m", *sweep, *size, *quiet, *launcher, *arguments.overrides]
    started = time.perf_counter()
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    whole = time.perf_counter() - started
    results = list(folder.glob(f"*/{RESULT}"))
    if len(results) != arguments.jobs or any(read_json(file)["status"] != "completed" for file in results):
        raise SystemExit(f"error: {folder}: not all of the {arguments.jobs} jobs are completed")
    first_start = min(file.stat().st_mtime for file in folder.glob(f"*/{HYDRA}/config.yaml"))
    last_end = max(file.stat().st_mtime for file in results)
    images = arguments.jobs * arguments.epochs * arguments.images
    return {"whole": images / whole, "training": images / (last_end - first_start)}


def measure(arguments: argparse.Namespace) -> dict[str, list[Rates]]:
    """Return the rates of both launchers, one entry per repeat."""
    launchers = {
        "sequential": ["hydra/launcher=sequential"],
        "workers": ["hydra/launcher=workers", *(f"hydra.launcher.{setting}" for setting in arguments.launcher)],
    }
    rates: dict[str, list[Rates]] = {name: [] for name in launchers}
    for repeat in range(arguments.repeats):
        for name, launcher in launchers.items():
            with tempfile.TemporaryDirectory() as folder:
                rates[name].append(run(Path(folder) / name, launcher, arguments))
            last = rates[name][-1]
            print(f"{repeat + 1}/{arguments.repeats} {name}: " + ", ".join(f"{key} {last[key]:.1f}" for key in last))
    return rates


def rows(rates: dict[str, list[Rates]]) -> list[dict[str, str]]:
    """Return the table's rows: medians over the repeats, and statistics of the ratios within a repeat."""
    shown = []
    for key, label in (("training", "training alone"), ("whole", "the whole command")):
        sequential, workers = ([rate[key] for rate in rates[name]] for name in ("sequential", "workers"))
        ratios = [fast / slow for slow, fast in zip(sequential, workers, strict=True)]
        shown.append(
            {
                "images/s": label,
                "sequential": f"{median(sequential):.1f}",
                "workers": f"{median(workers):.1f}",
                "ratio": f"{median(ratios):.2f}",
                "smallest": f"{min(ratios):.2f}",
                "largest": f"{max(ratios):.2f}",
            }
        )
    return shown


def main() -> None:
    """Run the benchmark, print its table and write its results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.workers", description=__doc__)
    parser.add_argument("--jobs", type=int, default=4, help="jobs in the sweep (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="repeats of both, in turns (default: %(default)s)")
    parser.add_argument("--images", type=int, default=1280, help="images in an epoch (default: %(default)s)")
    parser.add_argument("--test-images", type=int, default=200, help="test images (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=1, help="epochs of a job (default: %(default)s)")
    parser.add_argument(
        "--launcher", action="append", default=[], metavar="KEY=VALUE", help="launcher setting, as jobs_per_device=4"
    )
    parser.add_argument("--write", action="store_true", help="write the results to benchmarks/results")
    parser.add_argument("overrides", nargs="*", help="overrides for every job")
    arguments = parser.parse_args()
    rates = measure(arguments)
    machine = describe_machine("cpu" if "trainer.device=cpu" in arguments.overrides else _device())
    lines = [f"{arguments.jobs} jobs of {arguments.epochs} × {arguments.images} images.", "", *table(rows(rates))]
    print("\n".join([headline(machine), *lines]))
    if arguments.write:
        print(f"written to {write_results('workers', machine, lines, {'rates': rates})}.md and .json")


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


if __name__ == "__main__":
    main()
