"""The order in which workers take jobs: on a real sweep folder, by real claims, with the time made up."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mnist_resnet.config.job_spec import JobSpec
from mnist_resnet.job_folder import Status
from mnist_resnet.jobs.lease import Lease, LeaseMonitor, acquire_lease
from mnist_resnet.sweeps.cost import CostModel
from mnist_resnet.sweeps.folder import Sweep, job_state, read_sweep
from mnist_resnet.sweeps.queue import Queue, Turn
from tests.synthetic_sweep import SyntheticSweep

WIDTHS, EPOCHS = [8, 64], [1, 2, 4, 6, 20]
"""A narrow network costs half as much an epoch here, though it has a sixty-fourth of the parameters."""


def seconds(job: JobSpec) -> float:
    each = 1.0 if job.config["model"]["width"] == 64 else 0.5
    return each * float(job.config["trainer"]["epochs"])


def begun(folder: Path) -> Sweep:
    factors = {"model.width": WIDTHS, "trainer.epochs": EPOCHS}
    never_begun = dict.fromkeys(range(len(WIDTHS) * len(EPOCHS)))
    return read_sweep(SyntheticSweep(factors=factors, statuses=never_begun).write(folder))


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    return begun(tmp_path / "sweep")


def queue(sweep: Sweep, costs: CostModel | None) -> Queue:
    monitor = LeaseMonitor()
    return Queue(sweep, [job_state(sweep, job, monitor) for job in sweep.jobs], monitor, costs)


def end(sweep: Sweep, turn: Turn, lease: Lease) -> None:
    """Complete a job, as if it had taken as long as it is to take."""
    job, folder = turn.now.job, sweep.folder_of(turn.now.job)
    (folder / "result.json").write_text(
        json.dumps({"format": 1, "status": "completed", "signature": job.signature, "name": job.name})
    )
    lease.release(Status.COMPLETED)
    file = folder / "attempts" / "0001.json"
    began = datetime.now(UTC) - timedelta(seconds=seconds(job))
    file.write_text(json.dumps(json.loads(file.read_text()) | {"started": began.isoformat()}))


def drained(sweep: Sweep, queues: list[Queue]) -> tuple[float, list[str]]:
    """When the last of the workers ends that drain the sweep, one for each queue; and the jobs as they were taken."""
    free_at = [0.0] * len(queues)
    at_work: dict[int, tuple[Turn, Lease]] = {}
    taken: list[str] = []
    while queues:
        worker = min(range(len(queues)), key=lambda number: free_at[number])
        if worker in at_work:
            end(sweep, *at_work.pop(worker))
        turn = queues[worker].take(lambda _: True)
        if turn is None:
            return max(free_at), taken
        lease = acquire_lease(sweep.folder_of(turn.now.job), LeaseMonitor())
        assert lease is not None, "what another one holds is passed over"
        at_work[worker] = turn, lease
        taken.append(turn.now.job.name)
        free_at[worker] += seconds(turn.now.job)
    raise AssertionError("no worker")


def test_longest_first_ends_a_sweep_sooner_than_its_own_order(tmp_path: Path, sweep: Sweep) -> None:
    in_its_order, _ = drained(sweep, [queue(sweep, None), queue(sweep, None)])
    again = begun(tmp_path / "again")
    longest_first, taken = drained(again, [queue(again, CostModel()), queue(again, CostModel())])
    assert sorted(taken) == sorted(job.name for job in again.jobs)
    bound = sum(map(seconds, sweep.jobs)) / 2
    assert longest_first <= 1.2 * bound < 1.3 * bound <= in_its_order, (longest_first, bound, in_its_order)


def test_order_goes_by_what_ended_jobs_took_once_some_have(tmp_path: Path, sweep: Sweep) -> None:
    def parameters(model: str) -> int:
        return int(json.loads(model)["width"]) ** 2

    _, taken = drained(sweep, [queue(sweep, CostModel(parameters))])
    assert taken[0] == "model.width=64,trainer.epochs=20", "before anything has ended, by epochs and parameters"
    costs = CostModel(parameters)
    for job in sweep.jobs:
        if job.config["trainer"]["epochs"] == 1:
            costs.learn(job.config, seconds(job))
    more = begun(tmp_path / "more")
    _, taken = drained(more, [queue(more, costs)])
    assert taken[:3] == [
        "model.width=64,trainer.epochs=20",
        "model.width=8,trainer.epochs=20",
        "model.width=64,trainer.epochs=6",
    ]


def test_jobs_of_one_chain_go_short_first_in_the_place_of_their_longest(sweep: Sweep) -> None:
    monitor = LeaseMonitor()
    pending = [job_state(sweep, job, monitor) for job in sweep.jobs]
    chained = Queue(sweep, pending, monitor, CostModel(), lambda job: str(job.config["model"]["width"]))
    _, taken = drained(sweep, [chained])
    assert [name.partition(",")[0] for name in taken] == ["model.width=8"] * 5 + ["model.width=64"] * 5
    assert [name.partition("epochs=")[2] for name in taken] == ["1", "2", "4", "6", "20"] * 2


def test_round_ends_without_looking_again_at_what_others_hold(sweep: Sweep) -> None:
    held = acquire_lease(sweep.folder / sweep.jobs[0].name, LeaseMonitor())
    assert held is not None
    mine = queue(sweep, None)
    taken = []
    while (turn := mine.take(lambda _: True)) is not None:
        lease = acquire_lease(sweep.folder_of(turn.now.job), LeaseMonitor())
        assert lease is not None
        end(sweep, turn, lease)
        mine.ran(turn)
        taken.append(turn.now.job.name)
    assert taken == [job.name for job in sweep.jobs[1:]]
    assert (len(mine), mine.ended) == (1, 9)
    held.release(Status.COMPLETED)
    assert mine.take(lambda _: True) is not None, "let go without a result: it is to be run"
