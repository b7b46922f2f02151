"""Measures commands on a sweep of thousands of jobs that have ended, and whether their time grows with the number.

Run `python -m benchmarks.large_sweep`. The job list is frozen by a real launch, which is interrupted at its first job;
the jobs' results are made up. Each command runs from the shell, at a tenth of the jobs and at all of them.
"""

import argparse
import json
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.config import ROOT
from benchmarks.machine import describe_machine, headline, table, write_results
from benchmarks.many_jobs import TINY
from benchmarks.startup import TRAIN, environment

EPOCHS = 3
NAME = "large"
POLL_SECONDS = 0.05


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark, print its table and write its results."""
    options = _options(arguments)
    machine = describe_machine()
    print(headline(machine))
    sizes = [max(1, options.jobs // 10), options.jobs]
    measured = {size: measure(size) for size in sizes}
    rows = [_row(name, [measured[size][name] for size in sizes], sizes) for name in measured[sizes[0]]]
    lines = [*table(rows), "", *_notes()]
    print("\n".join(lines))
    if options.write:
        path = write_results("large_sweep", machine, lines, {"measured": measured})
        print(f"written: {path.relative_to(ROOT)}.md, .json")


def measure(jobs: int) -> dict[str, dict[str, float]]:
    """Return wall and processor seconds, and the largest resident size in MB, of each command on so many jobs."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        command = [*TRAIN, "-m", *TINY, "tracking=none", f"seed=range(1,{jobs + 1})", f"sweep.name={NAME}"]
        sweep = folder / "multirun" / NAME
        measured = {"launch, up to its first job": launch(command, folder, sweep)}
        make_up_results(sweep)
        module = [sys.executable, "-m"]
        commands = {
            "status": [*module, "mnist_resnet.sweep", str(sweep)],
            "compare": [*module, "mnist_resnet.compare", str(sweep)],
            "dashboard": [*module, "mnist_resnet.compare", str(sweep), "--format", "html"],
            "the same launch, all jobs ended": command,
            "and again": command,
        }
        measured |= {name: run(started, folder) for name, started in commands.items()}
        measured["size of the page, MB"] = {"wall": (sweep / "dashboard.html").stat().st_size / 1e6}
        return measured


def make_up_results(sweep: Path) -> None:
    """Write a result, metrics and an attempt for each job in the list of `sweep`."""
    content = json.loads((sweep / "sweep.json").read_text(encoding="utf-8"))
    for job in content["jobs"]:
        folder = sweep / job["name"]
        (folder / "attempts").mkdir(parents=True, exist_ok=True)
        epochs = [_epoch(epoch, job["index"]) for epoch in range(EPOCHS)]
        best = epochs[-1] | {"picked_on": "test"}
        result = {
            "format": 1,
            "status": "completed",
            "id": f"{job['index']:016x}",
            "attempts": [],
            "epochs": EPOCHS,
            **{key: value for key, value in job.items() if key != "code"},
            "epochs_completed": EPOCHS,
            "last": epochs[-1],
            "best": best,
            "seconds": 3.0,
            "parameters": 10_000,
            "numerics": {"device": "cpu", "precision": "fp32", "threads": 1, "compiled": False},
        }
        attempt = {"format": 1, "number": 1, "owner": "made up", "host": "elsewhere", "pid": 1, "status": "completed"}
        attempt |= {"started": "2026-11-24T20:00:00+00:00", "ended": "2026-11-24T20:00:03+00:00"}
        (folder / "attempts" / "0001.json").write_text(json.dumps(attempt), encoding="utf-8")
        (folder / "metrics.jsonl").write_text("".join(f"{json.dumps(epoch)}\n" for epoch in epochs), encoding="utf-8")
        (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")


def _epoch(epoch: int, job: int) -> dict[str, float]:
    error = 0.5 / (epoch + 1) + (job * 7919 % 1000) / 10_000
    return {
        "epoch": epoch,
        "train_loss": error,
        "train_accuracy": 1 - error,
        "test_loss": error,
        "test_accuracy": 1 - error,
        "lr": 0.001,
        "seconds": 1.0,
        "training_seconds": 0.5,
        "images_per_second": 128.0,
    }


def launch(command: Sequence[str], folder: Path, sweep: Path) -> dict[str, float]:
    """Start a launch, interrupt it when its first job has a folder, and return the time up to there."""
    before, started = _children(), time.perf_counter()
    with (folder / "output").open("w+") as output:
        process = subprocess.Popen(command, cwd=folder, env=environment(), stdout=output, stderr=output)
        while not any(sweep.glob("*seed=*")):
            if process.poll() is not None:
                raise SystemExit((folder / "output").read_text())
            time.sleep(POLL_SECONDS)
        wall = time.perf_counter() - started
        # Twice: at once, without the summary.
        for _ in range(2):
            process.send_signal(signal.SIGINT)
            time.sleep(0.5)
        process.wait()
    return {"wall": wall, **_used(before)}


def run(command: Sequence[str], folder: Path) -> dict[str, float]:
    """Run a command and return the time it took."""
    before, started = _children(), time.perf_counter()
    subprocess.run(command, cwd=folder, env=environment(), check=True, stdout=subprocess.DEVNULL)
    return {"wall": time.perf_counter() - started, **_used(before)}


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _used(before: float) -> dict[str, float]:
    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e3
    return {"processor": _children() - before, "largest so far": largest}


def _row(name: str, measured: Sequence[dict[str, float]], sizes: Sequence[int]) -> dict[str, str]:
    row = {"": name}
    for size, figures in zip(sizes, measured, strict=True):
        row[f"{size:,} jobs, s"] = f"{figures['wall']:.2f}"
        row[f"of a processor, s ({size:,})"] = f"{figures['processor']:.2f}" if "processor" in figures else ""
    row["MB at most so far"] = f"{measured[-1]['largest so far']:.0f}" if "largest so far" in measured[-1] else ""
    return row


def _notes() -> list[str]:
    return [
        "Wall time from the shell, and processor time, which other work on the machine disturbs less.",
        "The first launch after the last job writes the summary (table, dashboard, plots); the second finds it there.",
    ]


def _options(arguments: list[str] | None) -> Any:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=10_000, help="jobs of the larger sweep (default: %(default)s)")
    parser.add_argument("--no-write", dest="write", action="store_false", help="do not write to benchmarks/results")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
