"""Publishing a sweep again adds to its record, and never takes from it."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from mnist_resnet.comparing.frame import load_sweep
from mnist_resnet.config.signature import flatten, signature
from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import SWEEP, Status, UnreadableFolder
from mnist_resnet.sweeps.record import publish
from tests.small_sweeps import result_of, statuses
from tests.synthetic_sweep import SyntheticSweep, set_key

JOBS = [f"seed={seed}" for seed in (1, 2, 3)]


def write_sweep(folder: Path, seeds: int = 3, **statuses_by_name: Status | None) -> Path:
    """Write a sweep over seeds 1 to n; the statuses are given as `seed2=…`, and `completed` by default."""
    by_index = {int(name.removeprefix("seed")) - 1: status for name, status in statuses_by_name.items()}
    sweep = SyntheticSweep(
        name="travels", factors={"seed": range(1, seeds + 1)}, statuses=by_index, predictions=False, epochs=4
    )
    return sweep.write(folder)


def rewrite(file: Path, **changed: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changed))


def add_override(sweep: Path, name: str, key: str, value: object) -> None:
    """Give the job of this name one more override, as if a later launch had added it."""
    content = json.loads((sweep / SWEEP).read_text())
    (job,) = (job for job in content["jobs"] if job["name"] == name)
    set_key(job["config"], key, value)
    job |= {"overrides": [*job["overrides"], f"{key}={value}"], "signature": signature(job["config"])}
    (sweep / SWEEP).write_text(json.dumps(content))
    rewrite(sweep / name / "result.json", **{key: job[key] for key in ("config", "overrides", "signature")})


def listed(folder: Path) -> dict[str, int]:
    return {job["name"]: job["index"] for job in json.loads((folder / SWEEP).read_text())["jobs"]}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.fixture
def record(tmp_path: Path) -> Path:
    return tmp_path / "records" / "travels"


def test_jobs_that_have_ended_since_are_added(tmp_path: Path, record: Path) -> None:
    publish(write_sweep(tmp_path / "sweep", seed2=Status.RUNNING, seed3=None), record)
    assert statuses(record) == {"seed=1": "completed", "seed=2": "running"}
    assert len(load_sweep(record)) == 3
    shutil.rmtree(tmp_path / "sweep")
    publish(write_sweep(tmp_path / "sweep", seed3=Status.RUNNING), record)
    assert statuses(record) == {"seed=1": "completed", "seed=2": "completed", "seed=3": "running"}
    assert "not finished: 1 of 3 jobs are running" in (record / "table.md").read_text().splitlines()[0]
    assert load_sweep(record)["epochs_completed"].tolist() == [4, 4, 2]
    assert [path.name for path in record.parent.iterdir()] == ["travels"], "no temporary folder is left"


@pytest.mark.parametrize("here", [None, Status.RUNNING, Status.FAILED, Status.INTERRUPTED, Status.DIVERGED])
def test_completed_job_stays_whatever_the_sweep_has_of_it(tmp_path: Path, record: Path, here: Status | None) -> None:
    publish(write_sweep(tmp_path / "there"), record)
    before = contents(record)
    publish(write_sweep(tmp_path / "here", seed2=here), record)
    assert contents(record) == before


def test_unfinished_job_is_kept_as_it_got_further(tmp_path: Path, record: Path) -> None:
    publish(write_sweep(tmp_path / "there", seed2=Status.RUNNING), record)
    publish(write_sweep(tmp_path / "here", seed2=None), record)
    assert load_sweep(record)["epochs_completed"].tolist() == [4, 2, 4]


def test_job_that_was_run_again_replaces_the_older_result(tmp_path: Path, record: Path) -> None:
    publish(write_sweep(tmp_path / "sweep"), record)
    rewrite(tmp_path / "sweep" / "seed=2" / "result.json", notes=["run again"])
    publish(tmp_path / "sweep", record)
    assert result_of(record / "seed=2")["notes"] == ["run again"]


def test_of_two_results_the_later_one_is_kept(tmp_path: Path, record: Path) -> None:
    for folder, day in (("later", 26), ("earlier", 25)):
        result = write_sweep(tmp_path / folder) / "seed=2" / "result.json"
        rewrite(result, attempts=[{"number": 1, "ended": f"2026-11-{day}T07:00:00.000+00:00"}], notes=[folder])
        publish(tmp_path / folder, record)
    assert result_of(record / "seed=2")["notes"] == ["later"]


def test_jobs_that_two_machines_added_stand_in_one_record(tmp_path: Path, record: Path) -> None:
    publish(write_sweep(tmp_path / "first"), record)
    other = SyntheticSweep(name="travels", factors={"seed": [1, 7, 8]}, predictions=False, epochs=4)
    publish(other.write(tmp_path / "second"), record)
    assert listed(record) == {"seed=1": 0, "seed=2": 1, "seed=3": 2, "seed=7": 3, "seed=8": 4}
    assert {name: result_of(record / name)["index"] for name in listed(record)} == listed(record)
    publish(tmp_path / "first", record)
    assert len(load_sweep(record)) == 5


def test_packages_of_every_machine_are_kept(tmp_path: Path, record: Path) -> None:
    publish(write_sweep(tmp_path / "first"), record)
    (write_sweep(tmp_path / "second") / "seed=2" / "environment" / "freeze.txt").write_text("torch==3.0\n")
    for _ in range(2):
        publish(tmp_path / "second", record)
        assert sorted(path.name for path in record.glob("freeze*")) == ["freeze-2.txt", "freeze.txt"]
    assert (record / "freeze-2.txt").read_text() == "torch==3.0\n"


@pytest.mark.parametrize("changed", [{"created": "2026-11-25T20:00:00+00:00"}, {"name": "other"}])
def test_record_of_another_sweep_is_refused_and_untouched(
    tmp_path: Path, record: Path, changed: dict[str, str]
) -> None:
    publish(write_sweep(tmp_path / "sweep"), record)
    before = contents(record)
    rewrite(write_sweep(tmp_path / "other") / SWEEP, **changed)
    with pytest.raises(UsageError, match="record already exists and is of another sweep"):
        publish(tmp_path / "other", record)
    assert contents(record) == before


def test_folder_that_is_no_record_is_refused(tmp_path: Path, record: Path) -> None:
    record.mkdir(parents=True)
    (record / "notes.txt").write_text("mine")
    with pytest.raises(UnreadableFolder, match=r"no sweep\.json"):
        publish(write_sweep(tmp_path / "sweep"), record)
    assert list(contents(record)) == ["notes.txt"]


@pytest.mark.parametrize(
    ("key", "here", "there", "name"),
    [
        ("trainer.precision", "fp32", "bf16", "seed=2,trainer.precision=bf16"),
        ("optim.lr", 0.02, 0.001, "optim.lr=0.001,seed=2"),
    ],
)
def test_two_jobs_of_one_name_are_both_kept(
    tmp_path: Path, record: Path, key: str, here: object, there: object, name: str
) -> None:
    for folder, value in (("here", here), ("there", there)):
        sweep = SyntheticSweep(
            name="travels", factors={"seed": [1, 2]}, base={"trainer.precision": "auto"}, predictions=False
        ).write(tmp_path / folder)
        add_override(sweep, "seed=2", key, value)
    for _ in range(2):
        publish(tmp_path / "here", record)
        publish(tmp_path / "there", record)
        assert listed(record) == {"seed=1": 0, "seed=2": 1, name: 2}
    for job, value in (("seed=2", here), (name, there)):
        result = result_of(record / job)
        assert (result["name"], flatten(result["config"])[key]) == (job, value)


def test_one_job_of_two_names_is_kept_once(tmp_path: Path, record: Path) -> None:
    publish(write_sweep(tmp_path / "here", seed3=Status.RUNNING), record)
    there = write_sweep(tmp_path / "there")
    (there / "seed=3").rename(there / "optim.lr=0.001,seed=3")
    text = (there / SWEEP).read_text().replace('"name": "seed=3"', '"name": "optim.lr=0.001,seed=3"')
    (there / SWEEP).write_text(text)
    publish(there, record)
    assert statuses(record) == dict.fromkeys(JOBS, "completed")
    assert result_of(record / "seed=3")["name"] == "seed=3"


def test_only_changed_files_are_written_and_foreign_ones_stay(tmp_path: Path, record: Path) -> None:
    publish(write_sweep(tmp_path / "there", seed3=None), record)
    (record / "README.md").write_text("what this is")
    before = {file: file.stat().st_mtime_ns for file in record.glob("seed=*/*")} | {
        record / "README.md": (record / "README.md").stat().st_mtime_ns
    }
    publish(write_sweep(tmp_path / "here"), record)
    assert {file: file.stat().st_mtime_ns for file in before} == before
    assert set(statuses(record)) == set(JOBS)


@pytest.mark.parametrize("moves", [0, 1, 2, 3, 4, 6])
def test_publishing_that_is_cut_off_leaves_a_readable_record(
    tmp_path: Path, record: Path, monkeypatch: pytest.MonkeyPatch, moves: int
) -> None:
    publish(write_sweep(tmp_path / "there", seed2=Status.RUNNING, seed3=None), record)
    write_sweep(tmp_path / "here")
    done: list[Path] = []
    replace = Path.replace

    def replace_some(self: Path, target: Path) -> Path:
        if target.is_relative_to(record):
            if len(done) == moves:
                raise OSError("no power")
            done.append(target)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", replace_some)
    with pytest.raises(OSError, match="no power"):
        publish(tmp_path / "here", record)
    monkeypatch.setattr(Path, "replace", replace)
    frame = load_sweep(record)
    assert not frame.attrs["remarks"]
    completed = frame[frame["status"] == "completed"]
    assert len(completed) >= 1
    assert set(completed["epochs_completed"]) == {4}
    assert all(len((record / name / "metrics.jsonl").read_text().splitlines()) == 4 for name in completed["name"])
    publish(tmp_path / "here", record)
    assert set(statuses(record).values()) == {"completed"}


def test_publishing_goes_on_where_it_was_cut_off_between_a_jobs_metrics_and_its_result(
    tmp_path: Path, record: Path
) -> None:
    publish(write_sweep(tmp_path / "sweep"), record)
    again = SyntheticSweep(name="travels", factors={"seed": [1, 2, 3]}, predictions=False, epochs=4, luck=1)
    shutil.rmtree(tmp_path / "sweep")
    again.write(tmp_path / "sweep")
    shutil.copy(tmp_path / "sweep" / "seed=2" / "metrics.jsonl", record / "seed=2")
    publish(tmp_path / "sweep", record)
    assert result_of(record / "seed=2")["last"] == result_of(tmp_path / "sweep" / "seed=2")["last"]


def test_record_is_untouched_if_it_cannot_be_prepared(
    tmp_path: Path, record: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(write_sweep(tmp_path / "there", seed3=None), record)
    before = contents(record)

    def no_plots(*_: object) -> None:
        raise UsageError("plots need matplotlib")

    monkeypatch.setattr("mnist_resnet.sweeps.record.write_figures", no_plots)
    with pytest.raises(UsageError, match="matplotlib"):
        publish(write_sweep(tmp_path / "here"), record)
    assert contents(record) == before


def test_sweep_without_an_epoch_is_published_without_plots(tmp_path: Path, record: Path) -> None:
    publish(write_sweep(tmp_path / "sweep", seed1=None, seed2=None, seed3=None), record)
    assert "not finished: 3 of 3 jobs are queued" in (record / "table.md").read_text()
    assert not (record / "figures").exists()


def test_job_whose_process_died_is_not_kept_as_running(tmp_path: Path, record: Path) -> None:
    sweep = write_sweep(tmp_path / "sweep", seed2=Status.RUNNING)
    (sweep / "seed=2" / "attempts").mkdir()
    (sweep / "seed=2" / "attempts" / "0001.json").write_text('{"ended": "2026-11-24T21:00:00+00:00"}')
    publish(sweep, record)
    assert statuses(record)["seed=2"] == "interrupted"


def test_reasons_of_crashes_name_no_process_and_host(tmp_path: Path, record: Path) -> None:
    sweep = write_sweep(tmp_path / "sweep", seed2=Status.FAILED)
    reason = "process 4711 on bench died, or was cut off"
    rewrite(
        sweep / "seed=2" / "result.json",
        error={"type": "ProcessDied", "message": f"{reason} (1 time, sweep.retries=0)"},
        attempts=[{"number": 1, "host": "bench", "pid": 4711, "reason": reason, "status": "interrupted"}],
    )
    publish(sweep, record)
    assert not [file for file, content in contents(record).items() if b"bench" in content or b"4711" in content]
    assert result_of(record / "seed=2")["error"]["message"].startswith("its process died, or was cut off")


def test_metrics_and_factors_may_have_the_names_of_what_is_left_out(tmp_path: Path, record: Path) -> None:
    sweep = SyntheticSweep(name="travels", factors={"host": ["a", "b"]}, predictions=False).write(tmp_path / "sweep")
    for job in listed(sweep):
        metrics = sweep / job / "metrics.jsonl"
        lines = [json.loads(line) | {"pid": 0.5} for line in metrics.read_text().splitlines()]
        metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))
        rewrite(sweep / job / "result.json", last=lines[-1])
    for _ in range(2):
        publish(sweep, record)
    assert result_of(record / "host=a")["last"]["pid"] == 0.5
    assert [job["swept"] for job in json.loads((record / SWEEP).read_text())["jobs"]] == [{"host": "a"}, {"host": "b"}]
