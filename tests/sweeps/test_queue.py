"""The order in which workers take jobs: a real sweep folder and real leases, with simulated time."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mnist_resnet.attempts import LeaseMonitor
from mnist_resnet.config.job_spec import JobSpec
from mnist_resnet.job_folder import Status
from mnist_resnet.jobs.lease import Lease, acquire_lease
from mnist_resnet.sweeps.cost import CostModel
from mnist_resnet.sweeps.folder import Sweep, job_state, read_sweep
from mnist_resnet.sweeps.queue import Queue, QueuedJob
from tests.synthetic_sweep import SyntheticSweep

WIDTHS, EPOCHS = [8, 64], [1, 2, 4, 6, 20]
"""Here, an epoch of the narrow network costs half as much, though it has 1/64 of the parameters."""


def seconds(job: JobSpec) -> float:
    per_epoch = 1.0 if job.config["model"]["width"] == 64 else 0.5
    return per_epoch * float(job.config["trainer"]["epochs"])


def new_sweep(folder: Path) -> Sweep:
    factors = {"model.width": WIDTHS, "trainer.epochs": EPOCHS}
    never_started = dict.fromkeys(range(len(WIDTHS) * len(EPOCHS)))
    return read_sweep(SyntheticSweep(factors=factors, statuses=never_started).write(folder))


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    return new_sweep(tmp_path / "sweep")


def queue(sweep: Sweep, costs: CostModel | None) -> Queue:
    monitor = LeaseMonitor()
    return Queue(sweep, [job_state(sweep, job, monitor) for job in sweep.jobs], monitor, costs)


def complete(sweep: Sweep, queued: QueuedJob, lease: Lease) -> None:
    """Complete a job, as if it had taken its simulated duration."""
    job, folder = queued.now.job, sweep.folder_of(queued.now.job)
    (folder / "result.json").write_text(
        json.dumps({"format": 1, "status": "completed", "signature": job.signature, "name": job.name})
    )
    lease.release(Status.COMPLETED)
    file = folder / "attempts" / "0001.json"
    started = datetime.now(UTC) - timedelta(seconds=seconds(job))
    file.write_text(json.dumps(json.loads(file.read_text()) | {"started": started.isoformat()}))


def run_all(sweep: Sweep, queues: list[Queue]) -> tuple[float, list[str]]:
    """Run all jobs with one simulated worker per queue; return when the last worker ends, and the jobs in order."""
    free_at = [0.0] * len(queues)
    running: dict[int, tuple[QueuedJob, Lease]] = {}
    taken: list[str] = []
    while queues:
        worker = min(range(len(queues)), key=lambda number: free_at[number])
        if worker in running:
            complete(sweep, *running.pop(worker))
        queued = queues[worker].take(lambda _: True)
        if queued is None:
            return max(free_at), taken
        lease = acquire_lease(sweep.folder_of(queued.now.job), LeaseMonitor())
        assert lease is not None, "jobs that others hold are skipped"
        running[worker] = queued, lease
        taken.append(queued.now.job.name)
        free_at[worker] += seconds(queued.now.job)
    raise AssertionError("no worker")


def test_longest_first_ends_sooner_than_the_frozen_order(tmp_path: Path, sweep: Sweep) -> None:
    frozen_order, _ = run_all(sweep, [queue(sweep, None), queue(sweep, None)])
    again = new_sweep(tmp_path / "again")
    longest_first, taken = run_all(again, [queue(again, CostModel()), queue(again, CostModel())])
    assert sorted(taken) == sorted(job.name for job in again.jobs)
    bound = sum(map(seconds, sweep.jobs)) / 2
    assert longest_first <= 1.2 * bound < 1.3 * bound <= frozen_order, (longest_first, bound, frozen_order)


def test_order_follows_the_durations_of_ended_jobs(tmp_path: Path, sweep: Sweep) -> None:
    def parameters(model: str) -> int:
        return int(json.loads(model)["width"]) ** 2

    _, taken = run_all(sweep, [queue(sweep, CostModel(parameters))])
    assert taken[0] == "model.width=64,trainer.epochs=20", "before any job has ended, by epochs and parameters"
    costs = CostModel(parameters)
    for job in sweep.jobs:
        if job.config["trainer"]["epochs"] == 1:
            costs.learn(job.config, seconds(job))
    more = new_sweep(tmp_path / "more")
    _, taken = run_all(more, [queue(more, costs)])
    assert taken[:3] == [
        "model.width=64,trainer.epochs=20",
        "model.width=8,trainer.epochs=20",
        "model.width=64,trainer.epochs=6",
    ]


def test_jobs_of_a_chain_run_shortest_first_in_the_position_of_the_longest(sweep: Sweep) -> None:
    monitor = LeaseMonitor()
    pending = [job_state(sweep, job, monitor) for job in sweep.jobs]
    chained = Queue(sweep, pending, monitor, CostModel(), lambda job: str(job.config["model"]["width"]))
    _, taken = run_all(sweep, [chained])
    assert [name.partition(",")[0] for name in taken] == ["model.width=8"] * 5 + ["model.width=64"] * 5
    assert [name.partition("epochs=")[2] for name in taken] == ["1", "2", "4", "6", "20"] * 2


def test_round_ends_without_rereading_jobs_that_others_hold(sweep: Sweep) -> None:
    held = acquire_lease(sweep.folder / sweep.jobs[0].name, LeaseMonitor())
    assert held is not None
    jobs = queue(sweep, None)
    taken = []
    while (queued := jobs.take(lambda _: True)) is not None:
        lease = acquire_lease(sweep.folder_of(queued.now.job), LeaseMonitor())
        assert lease is not None
        complete(sweep, queued, lease)
        jobs.update(queued)
        taken.append(queued.now.job.name)
    assert taken == [job.name for job in sweep.jobs[1:]]
    assert (len(jobs), jobs.ended) == (1, 9)
    held.release(Status.COMPLETED)
    assert jobs.take(lambda _: True) is not None, "released without a result: the job is still to be run"
