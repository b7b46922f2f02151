"""A sweep that was stopped on one machine is published, and its own command goes on with it on another one."""

import dataclasses
import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from mnist_resnet import publish as publish_command
from mnist_resnet import restore as restore_command
from mnist_resnet import resume, work
from mnist_resnet import sweep as sweep_command
from mnist_resnet.attempts import LeaseMonitor, this_machine
from mnist_resnet.comparing.frame import load_sweep
from mnist_resnet.config.signature import signature
from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import CHECKPOINT, SWEEP, Status, read_json, read_metrics
from mnist_resnet.jobs.checkpoint import load_checkpoint
from mnist_resnet.jobs.environment import environment
from mnist_resnet.sweeps.folder import job_state, read_sweep
from mnist_resnet.sweeps.record import publish
from mnist_resnet.sweeps.restore import restore
from mnist_resnet.sweeps.status import StatusReader
from tests.small_sweeps import (
    CommandResult,
    Place,
    Run,
    assert_same_job,
    make_place,
    result_of,
    run_in_process,
    statuses,
)
from tests.synthetic_sweep import SyntheticSweep

NAME = "travels"
OVERRIDES = (
    *("seed=1,2,3", "trainer.epochs=3", "data.batch_size=4", "trainer.checkpoint_interval=0"),
    *("trainer.checkpoint_every=2", "trainer.log_interval=3"),
)
OTHER_HOST, OTHER_CPU = "elsewhere", "Another Processor"
REPOSITORY = Path(__file__).parents[2]
RECORDS = REPOSITORY / "multirun" / "records"


@dataclasses.dataclass(frozen=True)
class HalfDone:
    """A sweep whose process was killed in its second job of three.

    Attributes:
        folder: the sweep folder.
        record: its record.
        said: what `publish` printed while the sweep ran.
        running: the record's statuses then.
    """

    folder: Path
    record: Path
    said: str
    running: dict[str, str]


@pytest.fixture(scope="module")
def half_done(tmp_path_factory: pytest.TempPathFactory) -> HalfDone:
    place = make_place(tmp_path_factory.mktemp("first_machine"))
    folder, record = place.folder / "multirun" / NAME, place.folder / "multirun" / "records" / NAME
    process = place.start(place.sweep(NAME, *OVERRIDES))
    process.wait_for(lambda: (folder / "seed=2" / CHECKPOINT).exists())
    process.kill(signal.SIGSTOP)
    publish(folder, record)
    said, running = (record / "table.md").read_text().splitlines()[0], statuses(record)
    process.kill(signal.SIGKILL)
    process.wait()
    publish(folder, record)
    return HalfDone(folder, record, said, running)


@pytest.fixture
def other(tmp_path: Path, half_done: HalfDone, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A folder on another machine, with a copy of the record."""
    place = make_place(tmp_path / "other_machine")
    shutil.copytree(half_done.record, place.folder / "multirun" / "records" / NAME)
    for module in ("mnist_resnet.attempts", "mnist_resnet.jobs.lease"):
        monkeypatch.setattr(f"{module}.this_machine", lambda: this_machine() | {"host": OTHER_HOST, "boot": "another"})
    monkeypatch.setattr("mnist_resnet.jobs.environment.cpu_model", lambda: OTHER_CPU)
    monkeypatch.chdir(place.folder)
    return place


@pytest.fixture
def launch(other: Place, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    def run(*overrides: str) -> CommandResult:
        return run_in_process(other.sweep(NAME, *OVERRIDES, *overrides), other, monkeypatch, capfd)

    return run


def plan(done: CommandResult) -> dict[str, list[str]]:
    return {line.split()[1]: line.split()[2:] for line in done.out.splitlines()[1:]}


def test_sweep_that_runs_is_published_as_not_finished(half_done: HalfDone) -> None:
    assert half_done.said == f"# {NAME} (not finished: 2 of 3 jobs are running or queued)"
    assert half_done.running == {"seed=1": "completed", "seed=2": "running"}
    assert statuses(half_done.record) == {"seed=1": "completed", "seed=2": "interrupted"}


def test_command_goes_on_elsewhere_and_its_results_join_the_record(
    half_done: HalfDone, other: Place, launch: Run, capfd: pytest.CaptureFixture[str]
) -> None:
    folder, record = other.folder / "multirun" / NAME, other.folder / "multirun" / "records" / NAME
    for more in ((), ("sweep.dry_run=true",)):
        refused = launch(*more)
        assert refused.code == 2
        assert refused.err == (
            f"error: multirun/{NAME}: multirun/records/{NAME} has results of 1 of these 3 jobs; to go on with it: "
            f"python -m mnist_resnet.restore multirun/records/{NAME}; to start anew, take another sweep.name\n"
        )
    assert not folder.exists()

    assert restore_command.main([f"multirun/records/{NAME}"]) == 0
    said = capfd.readouterr().out.splitlines()
    assert said[0] == f"restored multirun/{NAME}: 1 of 3 jobs have a result, 2 to run"
    assert said[1] == f"to go on: python -m mnist_resnet.resume multirun/{NAME}"
    assert said[2].startswith("or the command that started it: python train.py -m ")
    assert StatusReader(folder).read().counts == {"completed": 1, "queued": 2}
    assert StatusReader(folder).read().seconds_left(1), "the time of the completed job is known"
    assert plan(launch("sweep.dry_run=true")) == {
        "seed=1": ["completed", "skip"],
        "seed=2": ["queued", "run"],
        "seed=3": ["queued", "run"],
    }

    done = launch()
    assert done.code == 0, done.out + done.err
    assert f"multirun/{NAME}: 2 of 3 jobs to run, 1 ended already" in done.out
    frozen = {job["name"]: job["signature"] for job in read_json(half_done.folder / SWEEP)["jobs"]}
    assert {job["name"]: job["signature"] for job in read_json(folder / SWEEP)["jobs"]} == frozen
    assert result_of(folder / "seed=1")["id"] == result_of(half_done.folder / "seed=1")["id"]
    assert read_metrics(folder / "seed=1") == read_metrics(half_done.folder / "seed=1")
    hosts = {name: [attempt["host"] for attempt in result_of(folder / name)["attempts"]] for name in frozen}
    assert hosts == {"seed=1": [None], "seed=2": [OTHER_HOST], "seed=3": [OTHER_HOST]}

    assert publish_command.main([f"multirun/{NAME}"]) == 0
    assert capfd.readouterr().out == f"written to multirun/records/{NAME}\n"
    frame = load_sweep(record)
    assert frame["status"].tolist() == ["completed"] * 3
    assert {name: result_of(record / name)["signature"] for name in frozen} == frozen
    here = environment("cpu")["cpu"]
    assert here == OTHER_CPU
    processors = frame["processor"].tolist()
    assert processors[1:] == [OTHER_CPU] * 2
    assert processors[0] not in (OTHER_CPU, None)
    table = (record / "table.md").read_text()
    assert table.splitlines()[0] == f"# {NAME}"
    assert OTHER_CPU in table
    assert processors[0] in table
    assert not [path for path in record.rglob("*") if path.is_file() and OTHER_HOST.encode() in path.read_bytes()]

    # The first machine comes back and publishes what it has: nothing is lost.
    publish(half_done.folder, record)
    assert statuses(record) == dict.fromkeys(frozen, "completed")


def test_resume_goes_on_from_a_checkpoint_that_was_carried(
    half_done: HalfDone, other: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = other.folder / "multirun" / "records" / NAME
    shutil.copy(half_done.folder / "seed=2" / CHECKPOINT, record / "seed=2")
    monkeypatch.setenv("MNIST_RESNET_DATA", str(other.images))
    assert restore_command.main([str(record)]) == 0
    folder = other.folder / "multirun" / NAME
    sweep = read_sweep(folder)
    states = {job.name: job_state(sweep, job, LeaseMonitor()) for job in sweep.jobs}
    assert {name: state.action for name, state in states.items()} == {
        "seed=1": "skip",
        "seed=2": "resume",
        "seed=3": "run",
    }
    assert resume.main([str(folder)]) == 0
    assert statuses(folder) == dict.fromkeys(states, "completed")
    carried = result_of(folder / "seed=2")
    assert [attempt["status"] for attempt in carried["attempts"]] == ["interrupted", "completed"]
    assert any(
        note.endswith(f"continued on {OTHER_CPU}: the last bits may differ from an uninterrupted run")
        for note in carried["notes"]
    )
    assert carried["id"] == result_of(half_done.folder / "seed=2")["id"]

    undisturbed = make_place(tmp_path / "undisturbed")
    assert undisturbed.start(undisturbed.sweep("whole", *OVERRIDES)).wait().code == 0
    for name in states:
        assert_same_job(folder / name, undisturbed.folder / "multirun" / "whole" / name)


def test_checkpoint_is_carried_where_the_record_has_no_result(half_done: HalfDone, other: Place) -> None:
    record = other.folder / "multirun" / "records" / NAME
    (record / "seed=2" / "result.json").unlink()
    shutil.copy(half_done.folder / "seed=2" / CHECKPOINT, record / "seed=2")
    sweep = restore(record, other.folder / "multirun" / NAME)
    job = sweep.job_named("seed=2")
    assert job_state(sweep, job, LeaseMonitor()).action == "run"
    state, remarks = load_checkpoint(sweep.folder_of(job), job.signature)
    assert (state is None, remarks) == (False, [])


def test_record_without_a_result_yet_is_gone_on_with_too(other: Place, launch: Run) -> None:
    shutil.rmtree(other.folder / "multirun" / "records" / NAME / "seed=1")
    refused = launch("sweep.dry_run=true")
    assert refused.code == 2
    assert "has results of 0 of these 3 jobs; to go on with it: python -m mnist_resnet.restore" in refused.err
    assert restore_command.main([f"multirun/records/{NAME}"]) == 0
    assert plan(launch("sweep.dry_run=true")) == {f"seed={seed}": ["queued", "run"] for seed in (1, 2, 3)}


def test_finished_study_may_be_repeated_and_this_is_said(half_done: HalfDone, other: Place, launch: Run) -> None:
    done = launch("seed=1", "sweep.dry_run=true")
    assert done.code == 0, done.err
    said = f"multirun/records/{NAME} has results of 1 of these 1 jobs, which are run again here"
    assert done.out.splitlines()[0] == said


def test_older_folder_of_a_sweep_that_went_on_elsewhere_is_noticed(other: Place, launch: Run) -> None:
    assert restore_command.main([f"multirun/records/{NAME}"]) == 0
    assert launch("sweep.dry_run=true").out.startswith("job")
    shutil.rmtree(other.folder / "multirun" / NAME / "seed=1")
    done = launch("sweep.dry_run=true")
    assert done.out.startswith(
        f"multirun/records/{NAME} has results of 1 of these 3 jobs, which are run again here; to take them over, move "
        f"multirun/{NAME} away first: python -m mnist_resnet.restore multirun/records/{NAME}\n"
    )
    assert done.code == 0


def test_record_of_other_jobs_is_no_obstacle(launch: Run) -> None:
    done = launch("trainer.epochs=2", "sweep.dry_run=true")
    assert (done.code, done.out.splitlines()[0].split()[0]) == (0, "job")


@pytest.mark.parametrize(
    "command",
    [
        lambda record: resume.main([record]),
        lambda record: work.main([record]),
        lambda record: sweep_command.main([record, "--workers", "1"]),
    ],
)
def test_no_job_runs_in_a_record(
    command: Callable[[str], int], other: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    record = f"multirun/records/{NAME}"
    before = sorted(Path(record).rglob("*"))
    assert command(record) == 2
    assert capsys.readouterr().err == (
        f"error: {record}: a record, and no job may run in it; to go on with it: "
        f"python -m mnist_resnet.restore {record}\n"
    )
    assert sorted(Path(record).rglob("*")) == before


def test_status_of_a_record_names_the_command_that_goes_on_with_it(
    other: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    record = f"multirun/records/{NAME}"
    assert sweep_command.main([record]) == 0
    said = capsys.readouterr().out
    assert f"to go on with it: python -m mnist_resnet.restore {record}" in said
    assert "mnist_resnet.resume" not in said


def test_no_sweep_is_launched_in_a_record(
    other: Place, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = other.sweep(None, *OVERRIDES, f"hydra.sweep.dir=multirun/records/{NAME}")
    done = run_in_process(arguments, other, monkeypatch, capfd)
    assert done.code == 2
    assert "a record, and no job may run in it" in done.err


@pytest.mark.parametrize(
    ("output", "statuses", "said"),
    [
        (
            "lr_vs_stem",
            {},
            "3 of 3 jobs have a result, 0 to run\n"
            "to add jobs, change the command that started it: python train.py sweep.name=lr_vs_stem seed=1,2,3 -m\n",
        ),
        (
            "other",
            {1: Status.FAILED},
            "2 of 3 jobs have a result, 1 to run\n"
            "to go on: python -m mnist_resnet.resume multirun/other --trust mine.Net\n"
            "or the command that started it: python train.py seed=1,2,3 sweep.name=other -m\n",
        ),
        (
            "2024",
            {},
            "3 of 3 jobs have a result, 0 to run\n"
            "to add jobs, change the command that started it: "
            "python train.py seed=1,2,3 'sweep.name='\"'\"'2024'\"'\"'' -m\n",
        ),
        ("[no name of a sweep]", {}, "3 of 3 jobs have a result, 0 to run\n"),
        (
            "../elsewhere",
            {1: None},
            "2 of 3 jobs have a result, 1 to run\n"
            "to go on: python -m mnist_resnet.resume multirun/../elsewhere --trust mine.Net\n",
        ),
    ],
)
def test_commands_that_go_on_are_printed(
    output: str, statuses: dict[int, Status | None], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    record = SyntheticSweep(
        factors={"seed": [1, 2, 3]}, base={"model._target_": "mine.Net"}, statuses=statuses, predictions=False
    ).write(tmp_path / "record")
    content = read_json(record / SWEEP) | {"command": ["train.py", "sweep.name=lr_vs_stem", "seed=1,2,3", "-m"]}
    for job in content["jobs"]:
        job["overrides"] += ["trainer.precision=bf16", "trainer.threads=1"]
        job["config"]["sweep"]["name"] = "lr_vs_stem"
    (record / SWEEP).write_text(json.dumps(content))
    assert restore_command.main([str(record), "--output", f"multirun/{output}"]) == 0
    assert capsys.readouterr().out == (
        f"restored multirun/{output}: {said}"
        "its jobs have trainer.precision=bf16 trainer.threads=1: without that, a command adds jobs of its own\n"
    )


@pytest.mark.parametrize(
    ("changed", "code", "says"),
    [
        ({"overrides": [3]}, 2, "not a valid job, an override is int"),
        ({"overrides": None, "config": {}}, 0, "restored multirun/lr_vs_stem"),
    ],
)
def test_jobs_that_lack_what_the_commands_need(
    changed: dict[str, object], code: int, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    record = SyntheticSweep(factors={"seed": [1]}, predictions=False).write(tmp_path / "record")
    content = read_json(record / SWEEP)
    content["jobs"][0] |= changed
    (record / SWEEP).write_text(json.dumps(content))
    assert restore_command.main([str(record)]) == code
    assert says in "".join(capsys.readouterr())


def test_existing_folder_is_not_overwritten(other: Place, capsys: pytest.CaptureFixture[str]) -> None:
    record = f"multirun/records/{NAME}"
    assert [restore_command.main([record]) for _ in range(2)] == [0, 2]
    assert capsys.readouterr().err == (
        f"error: multirun/{NAME}: exists already; run its command to go on, or move it away\n"
    )


@pytest.mark.parametrize(
    ("output", "says"),
    [
        ("record/restored", "which holds a sweep, job or record"),
        ("link/a/../restored", "which holds a sweep, job or record"),
        ("multirun/records/new", "is in a folder of records"),
    ],
)
def test_no_sweep_is_restored_among_records(
    output: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = SyntheticSweep(predictions=False).write(tmp_path / "record")
    (tmp_path / "link").symlink_to("record")
    before = sorted(tmp_path.rglob("*"))
    assert restore_command.main([str(record), "--output", str(tmp_path / output)]) == 2
    printed = capsys.readouterr().err
    assert says in printed
    assert printed.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_search_says_that_it_cannot_go_on(tmp_path: Path) -> None:
    folder = SyntheticSweep(predictions=False).write(tmp_path / "search")
    (folder / "search.json").write_text("{}")
    publish(folder, tmp_path / "record")
    with pytest.raises(UsageError, match="a search can't go on from a record"):
        restore(tmp_path / "record", tmp_path / "restored")


@pytest.mark.parametrize("record", sorted(folder.name for folder in RECORDS.iterdir()))
def test_older_records_are_restored_as_finished(record: str, tmp_path: Path) -> None:
    sweep = restore(RECORDS / record, tmp_path / record)
    monitor = LeaseMonitor()
    assert {job_state(sweep, job, monitor).action for job in sweep.jobs} == {"skip"}
    assert StatusReader(tmp_path / record).read().left == 0


def test_sweep_frozen_before_the_code_moved_travels_under_its_signatures(tmp_path: Path) -> None:
    frozen = REPOSITORY / "tests" / "frozen_sweeps" / "half_done"
    publish(frozen, tmp_path / "record")
    sweep = restore(tmp_path / "record", tmp_path / "multirun" / "half_done")
    assert [job.signature for job in sweep.jobs] == [job["signature"] for job in read_json(frozen / SWEEP)["jobs"]]
    assert all(signature(job.config) == job.signature for job in sweep.jobs)
    actions = [job_state(sweep, job, LeaseMonitor()).action for job in sweep.jobs]
    completed = [status == Status.COMPLETED for status in statuses(frozen).values()]
    assert actions.count("skip") == completed.count(True) > 0
