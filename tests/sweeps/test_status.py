"""The status of a sweep, read from its folder: running and failed jobs, and the time left."""

import json
import os
import subprocess
import sys
import time
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from mnist_resnet.attempts import LeaseMonitor
from mnist_resnet.job_folder import DASHBOARD, FORMAT, LAUNCHES, METRICS, SEARCH, SWEEP, Status, write_metrics
from mnist_resnet.jobs.lease import Lease, acquire_lease
from mnist_resnet.jobs.worker_options import WorkerOptions
from mnist_resnet.sweep import main as sweep_command
from mnist_resnet.sweeps.cost import CostModel, time_to_end
from mnist_resnet.sweeps.status import StatusReader
from mnist_resnet.sweeps.status_text import status_text
from mnist_resnet.sweeps.summary import SUMMARY
from tests.synthetic_sweep import SyntheticSweep, base_config, set_key

SEEDS = {"seed": [1, 2, 3, 4, 5, 6]}


def lease(folder: Path, **facts: object) -> Lease:
    acquired = acquire_lease(folder, LeaseMonitor(), facts)
    assert acquired is not None
    return acquired


def text(folder: Path) -> str:
    console = Console(file=StringIO(), width=200, highlight=False)
    console.print(status_text(StatusReader(folder).read()))
    return str(console.file.getvalue())  # type: ignore[attr-defined]


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """Six jobs: completed, failed, running for two epochs, died, interrupted, never started."""
    statuses = {1: Status.FAILED, 2: Status.RUNNING, 3: Status.RUNNING, 4: Status.INTERRUPTED, 5: None}
    folder = SyntheticSweep(factors=SEEDS, epochs=4, statuses=statuses, predictions=False).write(tmp_path / "sweep")
    for seed, status in ((1, "completed"), (2, "failed"), (5, "interrupted")):
        lease(folder / f"seed={seed}").release(status)
    lease(folder / "seed=3", worker=2)
    dead = lease(folder / "seed=4")
    dead._stop_beating()
    file = folder / "seed=4" / "attempts" / "0001.json"
    file.write_text(file.read_text().replace('"process_started": ', '"process_started": 1'))
    return folder


def test_status_shows_each_job_and_who_runs_it(sweep: Path) -> None:
    status = StatusReader(sweep).read()
    assert status.counts == {"completed": 1, "failed": 1, "running": 1, "interrupted": 2, "queued": 1}
    assert status.left == 4
    shown = text(sweep)
    assert "6 jobs: 1 running, 1 completed, 1 failed, 2 interrupted, 1 queued" in shown
    running = next(line.split("  ") for line in shown.splitlines() if line.startswith("seed=3"))
    cells = [cell.strip() for cell in running if cell.strip()]
    assert cells[1:3] == ["2/4", "4,800"]
    assert cells[-1] == f"process {os.getpid()} on {os.uname().nodename}, worker 2"
    assert "failed: seed=2: ValueError: no such <image>" in shown
    assert "interrupted: seed=4: its process died" in shown


@pytest.mark.parametrize("key", ["started", "ended", "host", "pid", "worker", "number"])
def test_an_attempt_may_lack_any_entry(sweep: Path, key: str) -> None:
    for file in sweep.glob("*/attempts/*.json"):
        record = json.loads(file.read_text())
        file.write_text(json.dumps({name: value for name, value in record.items() if name != key}))
    assert StatusReader(sweep).read().counts["completed"] == 1
    assert "6 jobs: " in text(sweep)


def test_sweep_without_running_jobs_says_how_to_resume(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = SyntheticSweep(factors=SEEDS, statuses={5: None}, predictions=False).write(tmp_path / "my sweep")
    assert sweep_command([str(folder)]) == 0
    assert f"to resume: python -m mnist_resnet.resume '{folder}'" in capsys.readouterr().out


def test_reader_notices_that_a_cached_job_is_rerun_and_ends(sweep: Path) -> None:
    reader = StatusReader(sweep)
    assert reader.read().counts["completed"] == 1
    rerun = lease(sweep / "seed=1")
    assert reader.read().counts["running"] == 2
    rerun.release("diverged")
    assert reader.read().counts["diverged"] == 1


def test_search_counts_trials_not_yet_suggested_and_names_the_best(tmp_path: Path) -> None:
    objective = {"sweep.objective": "val_accuracy", "sweep.objective_epoch": "last"}
    folder = SyntheticSweep(factors=SEEDS, statuses={5: None}, base=objective, predictions=False).write(tmp_path / "s")
    (folder / SEARCH).write_text(json.dumps({"format": FORMAT, "trials": 10}))
    for seed in range(1, 6):
        write_metrics(folder / f"seed={seed}", [{"epoch": 0, "val_accuracy": 0.5 + seed % 4 / 10}])
        lease(folder / f"seed={seed}").release("completed")
    shown = text(folder)
    assert "10 trials: 5 completed, 5 queued" in shown
    assert "best: 80.00 % (val_accuracy of the last epoch), seed=3" in shown


def running_alone(tmp_path: Path, target: str | None = None) -> StatusReader:
    """Return a reader of six jobs of ten epochs: one runs and has trained two, in four seconds each; none has ended."""
    base = {"trainer.epochs": 10} | ({"task._target_": target} if target else {})
    statuses = {0: Status.RUNNING} | dict.fromkeys(range(1, 6))
    written = SyntheticSweep(factors=SEEDS, epochs=2, base=base, statuses=statuses, predictions=False)
    folder = written.write(tmp_path / "sweep")
    write_metrics(folder / "seed=1", [{"epoch": epoch, "step": epoch, "seconds": 4.0} for epoch in range(2)])
    lease(folder / "seed=1")
    return StatusReader(folder)


def test_time_left_is_known_from_the_first_epochs_of_a_sweep(tmp_path: Path) -> None:
    reader = running_alone(tmp_path)
    assert reader.seconds_left(1) == pytest.approx(8 * 4 + 5 * 40, abs=2)
    assert reader.seconds_left(2) == pytest.approx(3 * 40, abs=2)
    assert reader.seconds_left(1, {"seed=1": 0, "seed=2": 0}) == pytest.approx(8 * 4 + 40, abs=2)
    assert reader.seconds_left(1, None, {"seed=1": 6.0}) == pytest.approx(8 * 6 + 5 * 60, abs=2)
    (reader.folder / "seed=1" / METRICS).unlink()
    assert reader.seconds_left(1) is None
    assert reader.seconds_left(1, None, {"seed=1": 6.0}) == pytest.approx(6 * 60, abs=5)
    (reader.folder / SWEEP).write_text("{")
    assert reader.seconds_left(1) is None


def test_time_left_falls_within_an_epoch_by_no_more_than_one(tmp_path: Path) -> None:
    reader, left = running_alone(tmp_path), 8 * 4 + 5 * 40
    file = reader.folder / "seed=1" / METRICS
    begun = reader.folder / "seed=1" / "attempts" / "0001.json"
    begun.write_text(json.dumps(json.loads(begun.read_text()) | {"started": "2020-01-01T00:00:00+00:00"}))
    for since, gone in ((3, 3), (30, 4)):
        os.utime(file, (time.time() - since, time.time() - since))
        assert reader.seconds_left(1) == pytest.approx(left - gone, abs=0.9)


def test_time_left_counts_failed_jobs_that_run_again_and_what_interrupted_ones_lack(tmp_path: Path) -> None:
    statuses = {0: Status.RUNNING, 1: Status.FAILED, 2: Status.INTERRUPTED} | dict.fromkeys(range(3, 6))
    base = {"trainer.epochs": 10}
    folder = SyntheticSweep(factors=SEEDS, epochs=16, base=base, statuses=statuses, predictions=False).write(tmp_path)
    seconds = [{"epoch": epoch, "step": epoch, "seconds": 4.0} for epoch in range(8)]
    for seed, done in ((1, 2), (3, 8)):
        write_metrics(folder / f"seed={seed}", seconds[:done])
    lease(folder / "seed=1")
    for seed, status in ((2, "failed"), (3, "interrupted")):
        lease(folder / f"seed={seed}").release(status)
    reader = StatusReader(folder)
    attempts = {f"seed={seed}": int(seed in (2, 3)) for seed in range(1, 4)}
    assert reader.seconds_left(1, attempts) == pytest.approx(8 * 4 + 40 + 2 * 4, abs=2)
    assert reader.seconds_left(1) == pytest.approx(8 * 4 + 2 * 4 + 3 * 40, abs=2)
    WorkerOptions(folder, "1234", attempts, "continue", "").write()
    assert reader.seconds_left(1) == pytest.approx(8 * 4 + 2 * 4 + 4 * 40, abs=2), "a launch runs it again"
    attempts["seed=2"] = 0  # it has failed in this launch
    assert reader.seconds_left(1, attempts) == pytest.approx(8 * 4 + 2 * 4, abs=2)


def test_time_left_is_learnt_from_a_job_that_took_several_attempts(tmp_path: Path) -> None:
    base = {"task._target_": "my_project.train"}
    statuses = {1: Status.RUNNING, 2: None, 3: None, 4: None, 5: None}
    folder = SyntheticSweep(factors=SEEDS, base=base, statuses=statuses, predictions=False).write(tmp_path / "sweep")
    write_metrics(folder / "seed=1", [{"step": step, "seconds": 50.0} for step in range(2)])
    lease(folder / "seed=1").release("interrupted")
    lease(folder / "seed=1").release("completed")
    write_metrics(folder / "seed=2", [{"step": 0, "seconds": 30.0}])
    lease(folder / "seed=2")
    assert StatusReader(folder).seconds_left(1) == pytest.approx(70 + 4 * 100, abs=2)


def test_reports_of_a_training_function_are_no_epochs(tmp_path: Path) -> None:
    reader = running_alone(tmp_path, "my_project.train")
    assert reader.read().seconds_left() is None
    assert "time left: unknown until a job ends" in text(reader.folder)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-X", "importtime", "-m", "mnist_resnet.sweep", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_command_does_not_import_pytorch(sweep: Path) -> None:
    done = run(str(sweep))
    assert done.returncode == 0
    assert "6 jobs" in done.stdout
    assert not [line for line in done.stderr.splitlines() if line.split("|")[-1].strip() in ("torch", "pandas")]


@pytest.mark.parametrize(("content", "message"), [(None, "no sweep.json in it"), ("{", "can't be read")])
def test_folder_without_a_sweep_is_reported_in_one_line(tmp_path: Path, content: str | None, message: str) -> None:
    if content:
        (tmp_path / "sweep.json").write_text(content)
    command = [sys.executable, "-m", "mnist_resnet.sweep", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert message in done.stderr


def test_watch_ends_if_the_sweep_has_ended(tmp_path: Path) -> None:
    folder = SyntheticSweep(factors=SEEDS, statuses={1: Status.FAILED}, predictions=False).write(tmp_path / "s")
    (folder / DASHBOARD).touch()
    done = run(str(folder), "--watch")
    assert done.returncode == 1, "a job failed"
    assert "6 jobs: 5 completed, 1 failed" in done.stdout


def test_watch_waits_until_the_table_is_written(tmp_path: Path) -> None:
    folder = SyntheticSweep(factors=SEEDS, predictions=False).write(tmp_path / "s")
    (folder / DASHBOARD).touch()
    writer = lease(folder / LAUNCHES / SUMMARY)
    command = [sys.executable, "-m", "mnist_resnet.sweep", str(folder), "--watch"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watcher:
        assert watcher.stdout is not None
        assert "6 completed" in watcher.stdout.readline()
        with pytest.raises(subprocess.TimeoutExpired):
            watcher.wait(2)
        writer.release(Status.COMPLETED)
        assert watcher.wait(60) == 0


def config(width: int, epochs: int, lr: float = 0.1, seed: int = 1) -> dict[str, object]:
    settings = base_config(epochs, 100, val=False)
    for key, value in {"model.width": width, "optim.lr": lr, "seed": seed}.items():
        set_key(settings, key, value)
    return settings


def test_cost_is_proportional_to_epochs_among_jobs_with_equal_work() -> None:
    costs = CostModel()
    assert costs.seconds(config(8, 2)) is None
    costs.learn(config(8, 2), 20.0)
    costs.learn(config(64, 2), 100.0)
    assert costs.seconds(config(8, 6, lr=0.03, seed=4)) == pytest.approx(60.0)
    assert costs.seconds(config(64, 1, lr=0.003)) == pytest.approx(50.0)


def order(costs: CostModel, configs: list[dict[str, object]]) -> list[int]:
    ranks = costs.ranks(configs)
    return sorted(range(len(ranks)), key=lambda position: -ranks[position])


def test_jobs_rank_by_epochs_and_parameters_before_any_has_ended() -> None:
    def parameters(model: str) -> int:
        return int(json.loads(model)["width"]) ** 2

    jobs = [config(8, 10), config(64, 1), config(8, 70), config(8, 10, seed=2)]
    assert order(CostModel(parameters), jobs) == [2, 1, 0, 3]
    costs = CostModel(parameters)
    costs.learn(config(64, 1), 1.0)
    costs.learn(config(8, 1), 10.0)
    assert order(costs, jobs) == [2, 0, 3, 1], "measured durations take precedence over estimates"


def test_time_to_end_gives_jobs_to_the_first_free_worker() -> None:
    assert time_to_end([], [3, 3, 2, 2, 2], 2) == 7
    assert time_to_end([5, 1], [4, 2], 2) == 7
    assert time_to_end([5], [4, 2], 1) == 11
    assert time_to_end([], [], 3) == 0
