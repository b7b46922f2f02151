"""`python -m benchmarks.workers`: a sweep's training throughput, one job after the other beside `launcher=workers`.

Both run the same jobs with the same program, as a user would, in turns: what disturbs one disturbs both.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from benchmarks.machine import described, headline, table, write_results
from mnist_resnet.job_folder import HYDRA, RESULT, read_json

ROOT = Path(__file__).parents[1]

Rates = dict[str, float]
"""Trained images a second, all jobs together: `whole`, of the command from its start to its end, and `training`, from
the first job's start to the last one's end, without the program's start and the table."""


def run(folder: Path, launcher: Sequence[str], arguments: argparse.Namespace) -> Rates:
    """Run the sweep once, into `folder`."""
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
    begun = min(file.stat().st_mtime for file in folder.glob(f"*/{HYDRA}/config.yaml"))
    ended = max(file.stat().st_mtime for file in results)
    images = arguments.jobs * arguments.epochs * arguments.images
    return {"whole": images / whole, "training": images / (ended - begun)}


def measured(arguments: argparse.Namespace) -> dict[str, list[Rates]]:
    """Both launchers' rates, one entry a repeat."""
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
    """The table: medians, and of the ratio the median over repeats, since a repeat's two runs are neighbours."""
    shown = []
    for key, words in (("training", "training alone"), ("whole", "the whole command")):
        one, other = ([rate[key] for rate in rates[name]] for name in ("sequential", "workers"))
        ratios = [fast / slow for slow, fast in zip(one, other, strict=True)]
        shown.append(
            {
                "images/s": words,
                "sequential": f"{median(one):.1f}",
                "workers": f"{median(other):.1f}",
                "ratio": f"{median(ratios):.2f}",
                "smallest": f"{min(ratios):.2f}",
                "largest": f"{max(ratios):.2f}",
            }
        )
    return shown


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.workers", description=__doc__)
    parser.add_argument("--jobs", type=int, default=4, help="in the sweep (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="of both, in turns (default: %(default)s)")
    parser.add_argument("--images", type=int, default=1280, help="of an epoch (default: %(default)s)")
    parser.add_argument("--test-images", type=int, default=200, help="(default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=1, help="of a job (default: %(default)s)")
    parser.add_argument(
        "--launcher", action="append", default=[], metavar="KEY=VALUE", help="of the workers, as jobs_per_device=4"
    )
    parser.add_argument("--write", action="store_true", help="keep the figures in benchmarks/results")
    parser.add_argument("overrides", nargs="*", help="further ones, of every job")
    arguments = parser.parse_args()
    rates = measured(arguments)
    machine = described("cpu" if "trainer.device=cpu" in arguments.overrides else _device())
    lines = [f"{arguments.jobs} jobs of {arguments.epochs} × {arguments.images} images.", "", *table(rows(rates))]
    print("\n".join([headline(machine), *lines]))
    if arguments.write:
        print(f"written to {write_results('workers', machine, lines, {'rates': rates})}.md and .json")


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


if __name__ == "__main__":
    main()
