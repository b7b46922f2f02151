"""A training function of a user's own as a job: it resumes, is judged by its metrics, and is told what it got wrong."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from mnist_resnet.comparing.frame import JOB_COLUMNS, load_sweep
from mnist_resnet.comparing.job_reader import load_jobs
from mnist_resnet.comparing.reported import metric_of
from mnist_resnet.comparing.table import sweep_report
from mnist_resnet.config.allowed_targets import allow
from mnist_resnet.config.hydra_versions import VERSION_BASE
from mnist_resnet.config.job_spec import JobSpec
from mnist_resnet.config.metric import RESERVED
from mnist_resnet.config.schema import check_job
from mnist_resnet.config.signature import signature
from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import read_metrics, write_metrics
from mnist_resnet.jobs.preflight import preflight
from mnist_resnet.jobs.result import read_result
from mnist_resnet.jobs.run import ProcessContext, run_job
from mnist_resnet.jobs.signals import Interrupt, Interrupted
from mnist_resnet.tracking.console import ProgressConsole
from tests.small_training import REPOSITORY

LOSS = {"loss": {"better": "lower", "scale": "positive", "unit": "", "pick": "last", "heading": ""}}


def job(function: str = "descend", metrics: dict[str, Any] | None = None, **arguments: Any) -> JobSpec:
    with initialize_config_dir(str(REPOSITORY / "conf"), **VERSION_BASE):
        container: Any = OmegaConf.to_container(compose("config", ["task=function", "tracking=none"]), resolve=True)
    container["task"] |= {"_target_": f"tests.jobs.descent.{function}", **arguments}
    container |= {"metrics": LOSS if metrics is None else metrics, "net": {"width": 3, "depth": 2}}
    allow(container)
    return JobSpec(f"{function}{arguments}", container, [], arguments, {"net": "small"}, signature(container))


def run(spec: JobSpec, folder: Path) -> dict[str, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    result = run_job(spec, folder, ProcessContext(ProgressConsole(), Interrupt()))
    assert result is not None
    return result


def without_seconds(folder: Path) -> list[dict[str, float]]:
    return [{key: value for key, value in line.items() if key != "seconds"} for line in read_metrics(folder)]


@pytest.mark.parametrize("step", [3, 4])
def test_a_function_that_is_stopped_between_reports_goes_on_with_the_same_numbers(
    tmp_path: Path, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mnist_resnet.jobs.function_task.UNSAVED", 0.0)
    run(job(), tmp_path / "whole")
    with pytest.raises(Interrupted):
        run(job(stop_after=step, checkpoint_interval=1e-9), tmp_path / "stopped")
    assert len(read_metrics(tmp_path / "stopped")) == step // 2
    result = run(job(stop_after=step, checkpoint_interval=1e-9), tmp_path / "stopped")
    assert (result["status"], len(result["attempts"])) == ("completed", 2)
    assert without_seconds(tmp_path / "stopped") == without_seconds(tmp_path / "whole")
    lacking = "has_torch: not in the last report, of step 9; its last value, of step 8, counts"
    assert result["notes"] == [lacking, "net.depth: nothing read it"]


def test_readers_of_a_function_that_end_with_a_stop_do_not_fail_the_job(tmp_path: Path) -> None:
    interrupt, specs = Interrupt(), [job("read_with_a_loader", stopped=stopped) for stopped in (True, False)]
    (tmp_path / "stopped").mkdir()
    with interrupt.listening(), pytest.raises(Interrupted):
        run_job(specs[0], tmp_path / "stopped", ProcessContext(ProgressConsole(), interrupt))
    stopped = read_result(tmp_path / "stopped")
    assert stopped is not None
    assert stopped["status"] == "interrupted"
    result = run(specs[1], tmp_path / "killed")
    assert (result["status"], result["error"]["type"]) == ("failed", "RuntimeError")
    assert "DataLoader worker" in result["error"]["message"]


def test_readers_that_leave_a_stop_to_the_job_let_it_save_the_step_in_progress(tmp_path: Path) -> None:
    interrupt = Interrupt()
    tmp_path.joinpath("job").mkdir()
    with interrupt.listening(), pytest.raises(Interrupted):
        run_job(job("read_on"), tmp_path / "job", ProcessContext(ProgressConsole(), interrupt))
    assert [line["step"] for line in read_metrics(tmp_path / "job")] == [1, 2, 3, 4]
    assert run(job("read_on"), tmp_path / "job")["status"] == "completed"
    assert [line["step"] for line in read_metrics(tmp_path / "job")] == [*range(1, 9)]


@pytest.mark.parametrize(
    "way", ["sequential", *(pytest.param(way, marks=pytest.mark.slow) for way in ("workers", "search", "single"))]
)
def test_a_function_that_changes_the_working_directory_leaves_its_results_in_the_sweep(
    tmp_path: Path, way: str
) -> None:
    (tmp_path / "conf/task").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    elsewhere = tmp_path / "elsewhere"
    (tmp_path / "conf/task/leave.yaml").write_text(
        "# Leave.\ndefaults: [function]\n_target_: tests.jobs.descent.leave\n"
        f"to: {elsewhere}\nscale: 1.0\ndevice: cpu\n"
    )
    words = {
        "sequential": ["-m", "sweep.name=left", "seed=1,2,3"],
        "workers": ["-m", "sweep.name=left", "seed=1,2,3", "hydra/launcher=workers", "hydra.launcher.workers=1"],
        "search": ["-m", "sweep.name=left", "hydra/sweeper=search", "task.scale=interval(1,2)", "sweep.trials=3"],
        "single": ["hydra.run.dir=left/one"],
    }[way]
    metric = "+metrics.loss={better: lower, scale: positive}"
    program = [sys.executable, str(REPOSITORY / "train.py"), "--config-dir", "conf"]
    done = subprocess.run(
        [*program, *words, "task=leave", "tracking=none", metric],
        cwd=tmp_path, env={"PYTHONPATH": str(REPOSITORY), "PATH": "/usr/bin:/bin"}, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(elsewhere.iterdir()) == []
    results = [json.loads(path.read_text()) for path in tmp_path.glob("**/left/*/result.json")]
    assert [result["status"] for result in results] == ["completed"] * (1 if way == "single" else 3)
    line = f"the working directory was changed to {elsewhere}, and is set back to {tmp_path}"
    assert all(line in result["notes"] for result in results)


def test_many_reports_are_all_written_without_rewriting_the_file_for_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []

    def counting(folder: Path, lines: list[Any]) -> None:
        written.append(len(lines))
        write_metrics(folder, lines)

    monkeypatch.setattr("mnist_resnet.jobs.result_writer.write_metrics", counting)
    result = run(job("report_often", reports=600), tmp_path / "often")
    assert [line["step"] for line in read_metrics(tmp_path / "often")] == list(range(600))
    assert result["last"]["step"] == result["best"]["step"] == 599
    assert written[:100] == list(range(1, 101))
    assert len(written) < 300
    assert written[-1] == 600


def test_declared_metrics_have_headings_direction_and_scale_in_the_report_and_others_are_shown(tmp_path: Path) -> None:
    share = {"loss": {"better": "lower", "scale": "share", "unit": "", "pick": "best", "heading": ""}}
    for rate in (0.1, 0.3):
        run(job(metrics=share, rate=rate), tmp_path / str(rate))
    frame = load_sweep(tmp_path)
    histories = [read_metrics(tmp_path / str(rate)) for rate in (0.1, 0.3)]
    assert sorted(frame["loss"]) == sorted(min(line["loss"] for line in history) for history in histories)
    assert list(frame["steps"]) == [9, 9]
    assert list(frame["has_torch"]) == [1, 1], "the last value, which the last report lacks"
    assert "test_accuracy" not in frame
    report = sweep_report(load_jobs([tmp_path])[0]).markdown()
    assert re.search(r"\| task.rate \| loss, % \| has_torch \| steps \| width \| seconds \|", report)
    assert "Change of the best loss, %, paired by seed" in report
    with pytest.raises(UsageError, match="test_accuracy: these jobs have no such metric; choose from loss"):
        sweep_report(load_jobs([tmp_path])[0], metrics=["test_accuracy"])


def test_what_a_function_does_wrong_is_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    diverged = run(job("explode"), tmp_path / "explode")
    assert diverged["status"] == "diverged"
    assert diverged["error"]["message"] == "loss nan in step 1"
    assert load_sweep(tmp_path)["error"][0] == "loss nan in step 1"
    locked = run(job("hold_a_lock"), tmp_path / "lock")
    assert "state.lock is of type mnist_resnet.jobs.function_task.Run, which can't be restored" in locked["notes"][0]
    over = run(job("start_over"), tmp_path / "over")
    assert over["notes"][0] == "run.resume() was not called: a job that is interrupted starts over"
    soon = run(job("report_often", reports=3, checkpoint_interval=1e-9), tmp_path / "soon")
    assert not any("saved" in note for note in soon["notes"])
    monkeypatch.setattr("mnist_resnet.jobs.function_task.UNSAVED", 0.0)
    unsaved = run(job("report_often", reports=3, checkpoint_interval=1e-9), tmp_path / "unsaved")
    assert unsaved["notes"][0].startswith("nothing saved in 0.0 s: a job that is interrupted before run.save starts")


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("stay_silent", "stay_silent: returned without a report"),
        ("generate", "generate: returned a generator without a report"),
        ("report_a_number", "report: metrics are numbers by name, such as {'loss': 0.1}, and not 0.5"),
        ("save_nothing", "run.save: the state is None"),
        ("divide_by_zero", "division by zero"),
    ],
)
def test_a_function_that_can_not_be_a_job_fails_with_the_reason(
    tmp_path: Path, function: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    result = run(job(function), tmp_path / "wrong")
    assert result["status"] == "failed"
    assert message in result["error"]["message"]
    shown = capsys.readouterr().out
    if result["error"]["type"] == "UsageError":
        assert f"  failed: {result['error']['message']}\n" in shown
    else:
        kind = re.escape(f"{result['error']['type']}: {message}")
        assert re.search(rf"  failed: {kind}.* \(descent\.py, line \d+; the traceback is in result\.json\)\n", shown)


def test_a_function_can_not_change_the_record_of_its_job(tmp_path: Path) -> None:
    result = run(job("change_config", sizes=[1, 2]), tmp_path / "changed")
    assert result["config"]["task"]["sizes"] == [1, 2]
    assert read_metrics(tmp_path / "changed")[0]["loss"] == 3
    assert result["error"]["message"] == "the config is the job's record: task.rate can't be set"


@pytest.mark.parametrize(
    ("step", "name", "message"),
    [
        (1.5, "loss", "report(step=1.5): a step is a whole number from 0 on"),
        (-1, "loss", "report(step=-1): a step is a whole number from 0 on"),
        (True, "loss", "report(step=True): a step is a whole number from 0 on"),
        ("one", "loss", "report(step='one'): a step is a whole number from 0 on"),
        (1, "", "report: '' is not the name of a metric"),
        (1, "  ", "report: ' ' is not the name of a metric"),
        (1, 3, "report: 3 is not the name of a metric"),
        (1, "seconds", "report: 'seconds' is not the name of a metric"),
        (1, "error", "report: 'error' is not the name of a metric"),
        (1, "net.width", "report: 'net.width' is a group or a key of the config"),
        (1, "net", "report: 'net' is a group or a key of the config"),
    ],
)
def test_a_report_without_a_step_or_a_name_is_refused(tmp_path: Path, step: Any, name: Any, message: str) -> None:
    result = run(job("report_once", step=step, name=name), tmp_path / "once")
    assert (result["status"], result["error"]["type"]) == ("failed", "ValueError")
    assert result["error"]["message"].startswith(message)
    assert read_metrics(tmp_path / "once") == []


@pytest.mark.parametrize(
    ("scale", "value", "message"),
    [
        ("share", 1.5, "report: loss=1.5 is declared a share, and so a fraction between 0 and 1"),
        ("positive", -0.5, "report: loss=-0.5 is declared positive, and so not below 0"),
        ("count", -1, "report: loss=-1 is declared count, and so not below 0"),
    ],
)
def test_a_value_that_contradicts_its_declaration_is_refused(
    tmp_path: Path, scale: str, value: float, message: str
) -> None:
    declared = {"loss": {"better": "lower", "scale": scale, "unit": "", "pick": "last", "heading": ""}}
    result = run(job("report_once", metrics=declared, step=0, name="loss", value=value), tmp_path / "once")
    assert (result["status"], result["error"]["message"]) == ("failed", message)


def test_names_of_metrics_are_checked_before_the_job_and_after_it(tmp_path: Path) -> None:
    assert set(JOB_COLUMNS) < RESERVED
    config = job().config
    with pytest.raises(UsageError, match=r"^metrics\.error: error is recorded of every job; choose another name"):
        check_job(config | {"metrics": {"error": LOSS["loss"]}})
    with pytest.raises(UsageError, match=r"^metrics\.net\.width: net\.width is a key of the config; choose another"):
        check_job(config | {"metrics": {"net.width": LOSS["loss"]}})
    result = run(job("report_once", step=0, name="lss"), tmp_path / "misspelt")
    assert "metrics.loss: was never reported" in result["notes"]


def test_values_that_have_no_logarithm_are_judged_as_they_are(tmp_path: Path) -> None:
    declared = {"loss": {"better": "lower", "scale": "positive", "unit": "", "pick": "last", "heading": ""}}
    for seed, value in enumerate([0.0, 0.2, 0.4]):
        spec = job("report_once", metrics=declared, step=0, name="loss", value=value)
        run(replace(spec, config=spec.config | {"seed": seed}), tmp_path / str(seed))
    frame = load_sweep(tmp_path)
    assert metric_of(frame, "loss").scale == "free"
    assert metric_of(frame[frame["loss"] > 0], "loss").scale == "free", "a part is judged like the whole"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"_target_": "tests.jobs.descent.report_often"},
            "report_often: missing a required argument: 'reports'; it takes",
        ),
        ({"_target_": "tests.jobs.descent.Descent"}, "Descent: is a class; a task is a function that is called with"),
        (
            {"_target_": "tests.jobs.descent.rate_first", "rate": 0.1},
            "rate_first: takes rate, run; a task is a function",
        ),
        ({"rte": 0.1}, r"task\._target_=tests\.jobs\.descent\.descend: got an unexpected keyword argument 'rte'"),
        ({"device": "gpu"}, "task.device=gpu: must be auto, cpu, mps, cuda or cuda:N"),
        ({"_target_": "tests.jobs.descent.desced"}, "task._target_=tests.jobs.descent.desced: can't be found"),
    ],
)
def test_a_bad_task_is_refused_before_it_starts(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        preflight([job(**arguments).config])


def test_a_search_and_a_claim_need_a_metric_with_a_name_that_is_declared() -> None:
    config = job().config
    with pytest.raises(UsageError, match=r"sweep\.objective=score: must be loss"):
        preflight([config | {"sweep": config["sweep"] | {"objective": "score"}}])
    with pytest.raises(UsageError, match=r"claims\.0\.metric=test_accuracy: must be loss"):
        preflight([config | {"claims": [{"metric": "test_accuracy", "value": 0.9, "words": "90 %"}]}])


def test_a_job_without_pytorch_does_not_import_it(tmp_path: Path) -> None:
    (tmp_path / "conf/task").mkdir(parents=True)
    (tmp_path / "conf/task/descend.yaml").write_text(
        "# Descend.\ndefaults: [function]\n_target_: tests.jobs.descent.descend\ncheckpoint_every: 2\n"
    )
    arguments = ["--config-dir", "conf", "task=descend", "tracking=none", "+net.width=3", "hydra.run.dir=job"]
    done = subprocess.run(
        [sys.executable, str(REPOSITORY / "train.py"), *arguments, "sweep.keep=checkpoint"],
        cwd=tmp_path, env={"PYTHONPATH": str(REPOSITORY), "PATH": "/usr/bin:/bin"}, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = read_metrics(tmp_path / "job")
    assert [line["has_torch"] for line in lines[:-1]] == [0, 0, 0, 0]
    assert (tmp_path / "job/checkpoint.pt").stat().st_size < 20_000
