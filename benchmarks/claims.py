"""What it costs to hand out jobs: many processes drain a sweep of empty ones, which end as soon as they are claimed.

Run `python -m benchmarks.claims`. The processes import no PyTorch; they take jobs by the queue and the claims that
workers use, longest first. Each claim is timed from the search for a free job to the claim on it, by the order in
which the sweep's claims were taken; afterwards every job's folder is read, and `status` timed on the whole.
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

from benchmarks.machine import described, headline, table, write_results
from mnist_resnet.config.signature import signature
from mnist_resnet.job_folder import FORMAT, RESULT, SWEEP, Status, write_atomically
from mnist_resnet.attempts import LeaseMonitor
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
    "claims": [],
    "comparisons": [],
}
"""A frozen job's, so that the job list is as long as a real one's."""

ROOT = Path(__file__).parents[1]
STATUS_RUNS = 3


def main(arguments: list[str] | None = None) -> None:
    """Measure, print the table, write the results."""
    options = _options(arguments)
    if options.worker:
        print(json.dumps(drain(Path(options.worker))))
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as place:
        folder = Path(place) / "empty"
        freeze(folder, options.jobs)
        figures = measured(folder, options.workers)
    machine = described()
    lines = [*table(rows(figures["claims"], figures["began"])), "", *said(options, figures)]
    print("\n".join([headline(machine), *lines]))
    if options.write:
        path = write_results("claims", machine, lines, {key: figures[key] for key in ("seconds", "status", "imports")})
        print(f"written: {path.relative_to(ROOT)}.md, .json")


def freeze(folder: Path, jobs: int) -> None:
    """A sweep of empty jobs, frozen as a launch would."""
    folder.mkdir()
    listed = []
    for index in range(jobs):
        config = {"seed": index, **CONFIG}
        name = f"seed={index}"
        listed.append(
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
    write_atomically(folder / SWEEP, json.dumps({"format": FORMAT, "name": folder.name, "jobs": listed}, indent=1))


def measured(folder: Path, workers: int) -> dict[str, Any]:
    """Have the sweep drained, check it, and time `status`.

    Raises:
        SystemExit: a job was taken twice, or was forgotten, or PyTorch was imported.
    """
    command = [sys.executable, "-m", "benchmarks.claims", "--worker", str(folder)]
    started = time.time()
    processes = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(workers)]
    drained = [json.loads(process.communicate()[0]) for process in processes]
    seconds = time.time() - started
    _check(folder, [claim["job"] for one in drained for claim in one["claims"]], drained)
    return {
        "claims": sorted((claim for one in drained for claim in one["claims"]), key=lambda claim: claim["at"]),
        "began": min(one["began"] for one in drained),
        "seconds": seconds,
        "imports": any(one["torch"] for one in drained),
        "status": [_status(folder) for _ in range(STATUS_RUNS)],
    }


def drain(folder: Path) -> dict[str, Any]:
    """Be one of the processes: take jobs until none is left; gives when each claim was taken, and what it cost."""
    sweep, watch = read_sweep(folder), LeaseMonitor()
    queue = Queue(sweep, [job_state(sweep, job, watch) for job in sweep.jobs], watch, CostModel())
    began, claims, searched = time.time(), [], time.perf_counter()
    used = time.process_time()
    while len(queue):
        turn = queue.take(lambda _: True)
        if turn is None:
            time.sleep(0.1)
            searched, used = time.perf_counter(), time.process_time()
            continue
        job, place = turn.now.job, sweep.folder_of(turn.now.job)
        claim = acquire_lease(place, watch, after=turn.now.attempt)
        if claim is not None:
            taken = {"job": job.name, "at": time.time(), "seconds": time.perf_counter() - searched}
            claims.append(taken | {"cpu": time.process_time() - used})
            result = {"format": FORMAT, "status": "completed", "signature": job.signature, "name": job.name}
            write_atomically(place / RESULT, json.dumps(result))
            claim.release(Status.COMPLETED)
            searched, used = time.perf_counter(), time.process_time()
        queue.update(turn)
    return {"began": began, "claims": claims, "torch": "torch" in sys.modules}


def rows(claims: list[dict[str, Any]], began: float, size: int = 1000) -> list[dict[str, str]]:
    """One row for each thousand claims: how many a second there were, and what one cost."""
    shown = []
    for first in range(0, len(claims), size):
        some = claims[first : first + size]
        since = claims[first - 1]["at"] if first else began
        shown.append(
            {
                "claims": f"{first + 1:,} to {first + len(some):,}",
                "a second": f"{len(some) / (some[-1]['at'] - since):.0f}",
                "CPU time of one, ms": f"{1000 * mean(claim['cpu'] for claim in some):.1f}",
                "wait for one, median ms": f"{1000 * median(claim['seconds'] for claim in some):.0f}",
                "95 % within, ms": f"{1000 * sorted(claim['seconds'] for claim in some)[int(0.95 * len(some))]:.0f}",
            }
        )
    return shown


def said(options: argparse.Namespace, figures: dict[str, Any]) -> list[str]:
    """What the table does not say."""
    return [
        f"{options.workers} processes without PyTorch, {options.jobs:,} empty jobs in {figures['seconds']:.0f} s: "
        "none was taken twice, none was forgotten. CPU time and wait: from the search for a free job to the claim.",
        f"`python -m mnist_resnet.sweep` on that folder, {STATUS_RUNS} times: "
        f"{', '.join(f'{seconds:.2f}' for seconds in figures['status'])} s.",
    ]


def _check(folder: Path, taken: list[str], drained: list[dict[str, Any]]) -> None:
    sweep = read_sweep(folder)
    names = {job.name for job in sweep.jobs}
    twice = len(taken) - len(set(taken))
    attempts = [len(list((folder / name / "attempts").glob("*.json"))) for name in names]
    forgotten = [name for name in names if not (folder / name / RESULT).exists()]
    if twice or forgotten or set(attempts) != {1} or any(one["torch"] for one in drained):
        raise SystemExit(f"{twice} taken twice, {len(forgotten)} forgotten, attempts at a job: {set(attempts)}")


def _status(folder: Path) -> float:
    started = time.perf_counter()
    command = [sys.executable, "-m", "mnist_resnet.sweep", str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds = time.perf_counter() - started
    if "completed" not in done.stdout:
        raise SystemExit(f"status says: {done.stdout}")
    return seconds


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.claims", description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000, help="(default: %(default)s)")
    parser.add_argument("--workers", type=int, default=32, help="processes (default: %(default)s)")
    parser.add_argument("--folder", type=Path, help="on the file system to be measured (default: the temporary one)")
    parser.add_argument("--write", action="store_true", help="keep the figures in benchmarks/results/")
    parser.add_argument("--worker", metavar="SWEEP_DIR", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
