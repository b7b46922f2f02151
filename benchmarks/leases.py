"""Measures the cost of assigning jobs: many processes take the empty jobs of one sweep.

Run `python -m benchmarks.leases`. The processes do not import PyTorch. They use the same queue and leases as workers,
with the longest jobs first. Each lease is timed from the search for a free job until its lease is acquired. Afterwards,
every job folder is checked, and the command for the sweep's status is timed.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean, median
from typing import Any

from benchmarks.machine import describe_machine, headline, table, write_results
from mnist_resnet.attempts import LeaseMonitor
from mnist_resnet.config.signature import signature
from mnist_resnet.job_folder import FORMAT, RESULT, SWEEP, Status, write_atomically
from mnist_resnet.jobs.lease import acquire_lease
from mnist_resnet.sweeps.cost import CostModel
from mnist_resnet.sweeps.folder import job_state, read_sweep
from mnist_resnet.sweeps.queue import Queue

CONFIG = {
    "model": {"_target_": "mnist_resnet.models.resnet.ResNet", "stem": "3x3", "width": 64, "blocks": [2, 3, 5, 2]},
    "optim": {"_target_": "torch.optim.Adam", "_partial_": True, "lr": 0.001, "betas": [0.9, 0.999], "eps": 1e-08},
    "schedule": {"_target_": "mnist_resnet.training.schedule.constant", "_partial_": True},
    "data": {"_target_": "mnist_resnet.data.sources.mnist", "train_size": 60000, "val_size": 0, "batch_size": 64},
    "trainer": {"epochs": 10, "device": "auto", "precision": "auto", "threads": None, "log_interval": 20},
    "scale": {"epochs": 1.0},
    "regularization": {"dropout": 0.3},
    "tracking": {"_target_": "mnist_resnet.tracking.no_tracker.NoTracker", "mode": "auto"},
    "sweep": {"name": "empty", "exclude": [], "rerun": [], "on_failure": "continue", "keep": "none", "seeds": 5},
    "leases": [],
    "comparisons": [],
}
"""Config of the empty jobs, the size of a real job's, so that the sweep's job list is as long as a real one."""

ROOT = Path(__file__).parents[1]
STATUS_RUNS = 3
"""Number of times that the status command is timed."""


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark, print its table and write its results."""
    options = _options(arguments)
    if options.worker:
        print(json.dumps(take_jobs(Path(options.worker))))
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as parent:
        folder = Path(parent) / "empty"
        freeze(folder, options.jobs)
        figures = measure(folder, options.workers)
    machine = describe_machine()
    lines = [*table(rows(figures["leases"], figures["began"])), "", *_notes(options, figures)]
    print("\n".join([headline(machine), *lines]))
    if options.write:
        path = write_results("leases", machine, lines, {key: figures[key] for key in ("seconds", "status", "imports")})
        print(f"written: {path.relative_to(ROOT)}.md, .json")


def freeze(folder: Path, jobs: int) -> None:
    """Write the sweep folder of this many empty jobs, as a launch does."""
    folder.mkdir()
    specs = []
    for index in range(jobs):
        config = {"seed": index, **CONFIG}
        name = f"seed={index}"
        specs.append(
            {
                "name": name,
                "config": config,
                "overrides": [name],
                "swept": {"seed": index},
                "choices": {},
                "signature": signature(config),
                "index": index,
                "sweep": folder.name,
            }
        )
    write_atomically(folder / SWEEP, json.dumps({"format": FORMAT, "name": folder.name, "jobs": specs}, indent=1))


def measure(folder: Path, workers: int) -> dict[str, Any]:
    """Let the workers take all jobs, check the sweep, and time its status command.

    Returns:
        `leases` of all workers in the order of time; `began`, the time of the first worker's start; `seconds` of the
        whole; `imports`, whether a worker imported PyTorch; `status`, the seconds of each status command.

    Raises:
        SystemExit: A job was taken twice or not at all, or a worker imported PyTorch.
    """
    command = [sys.executable, "-m", "benchmarks.leases", "--worker", str(folder)]
    started = time.time()
    processes = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(workers)]
    reports = [json.loads(process.communicate()[0]) for process in processes]
    seconds = time.time() - started
    _check(folder, reports)
    return {
        "leases": sorted((lease for report in reports for lease in report["leases"]), key=lambda lease: lease["at"]),
        "began": min(report["began"] for report in reports),
        "seconds": seconds,
        "imports": any(report["torch"] for report in reports),
        "status": [_time_status(folder) for _ in range(STATUS_RUNS)],
    }


def take_jobs(folder: Path) -> dict[str, Any]:
    """Act as one worker: take jobs and complete them until none is left.

    Returns:
        `began`, the start in seconds since 1970; `leases`, one entry per job with its name, the time `at` which it was
        taken, and the wall-clock `seconds` and `cpu` seconds that taking it cost; `torch`, whether PyTorch is imported.
    """
    sweep, monitor = read_sweep(folder), LeaseMonitor()
    queue = Queue(sweep, [job_state(sweep, job, monitor) for job in sweep.jobs], monitor, CostModel())
    began, leases, search_started = time.time(), [], time.perf_counter()
    cpu_started = time.process_time()
    while len(queue):
        turn = queue.take(lambda _: True)
        if turn is None:
            time.sleep(0.1)
            search_started, cpu_started = time.perf_counter(), time.process_time()
            continue
        job, job_folder = turn.now.job, sweep.folder_of(turn.now.job)
        lease = acquire_lease(job_folder, monitor, after=turn.now.attempt)
        if lease is not None:
            taken = {"job": job.name, "at": time.time(), "seconds": time.perf_counter() - search_started}
            leases.append(taken | {"cpu": time.process_time() - cpu_started})
            result = {"format": FORMAT, "status": "completed", "signature": job.signature, "name": job.name}
            write_atomically(job_folder / RESULT, json.dumps(result))
            lease.release(Status.COMPLETED)
            search_started, cpu_started = time.perf_counter(), time.process_time()
        queue.update(turn)
    return {"began": began, "leases": leases, "torch": "torch" in sys.modules}


def rows(leases: list[dict[str, Any]], began: float, size: int = 1000) -> list[dict[str, str]]:
    """Return one row for each `size` leases: leases per second, and the cost of a lease."""
    shown = []
    for first in range(0, len(leases), size):
        group = leases[first : first + size]
        waits = sorted(lease["seconds"] for lease in group)
        since = leases[first - 1]["at"] if first else began
        shown.append(
            {
                "leases": f"{first + 1:,} to {first + len(group):,}",
                "per second": f"{len(group) / (group[-1]['at'] - since):.0f}",
                "CPU time per lease, ms": f"{1000 * mean(lease['cpu'] for lease in group):.1f}",
                "median wait, ms": f"{1000 * median(waits):.0f}",
                "95 % wait at most, ms": f"{1000 * waits[int(0.95 * len(group))]:.0f}",
            }
        )
    return shown


def _notes(options: argparse.Namespace, figures: dict[str, Any]) -> list[str]:
    return [
        f"{options.workers} processes without PyTorch, {options.jobs:,} empty jobs in {figures['seconds']:.0f} s: "
        "no job was taken twice or left out. CPU time and wait: from the search for a free job until its lease is "
        "acquired.",
        f"`python -m mnist_resnet.sweep` on that folder, {STATUS_RUNS} times: "
        f"{', '.join(f'{seconds:.2f}' for seconds in figures['status'])} s.",
    ]


def _check(folder: Path, reports: list[dict[str, Any]]) -> None:
    names = {job.name for job in read_sweep(folder).jobs}
    taken = [lease["job"] for report in reports for lease in report["leases"]]
    repeated = len(taken) - len(set(taken))
    attempts = [len(list((folder / name / "attempts").glob("*.json"))) for name in names]
    missing = [name for name in names if not (folder / name / RESULT).exists()]
    imported = sum(report["torch"] for report in reports)
    if repeated or missing or set(attempts) != {1} or imported:
        raise SystemExit(
            f"{repeated} jobs taken twice, {len(missing)} without a result, attempts per job: {set(attempts)}, "
            f"{imported} workers imported PyTorch"
        )


def _time_status(folder: Path) -> float:
    started = time.perf_counter()
    command = [sys.executable, "-m", "mnist_resnet.sweep", str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds = time.perf_counter() - started
    if "completed" not in done.stdout:
        raise SystemExit(f"unexpected output of the status command: {done.stdout}")
    return seconds


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.leases", description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000, help="jobs in the sweep (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=32, help="processes (default: %(default)s)")
    parser.add_argument("--folder", type=Path, help="folder on the file system to measure (default: temporary folder)")
    parser.add_argument("--write", action="store_true", help="write the results to benchmarks/results/")
    parser.add_argument("--worker", metavar="SWEEP_DIR", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
