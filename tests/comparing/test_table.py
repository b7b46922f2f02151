"""The table of a sweep: columns, header lines, files and output formats."""

import csv
import json
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from mnist_resnet.comparing.best_epoch import picked_text
from mnist_resnet.comparing.cells import format_table
from mnist_resnet.comparing.frame import jobs_frame
from mnist_resnet.comparing.job_reader import load_jobs
from mnist_resnet.comparing.jobs_table import header_lines, sweep_table
from mnist_resnet.comparing.report import Report, Section
from mnist_resnet.comparing.statistics import seeds_summary
from mnist_resnet.comparing.table import sweep_report, write_table
from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import RESULT, Status
from tests.made_up_jobs import seeds, write_job
from tests.synthetic_sweep import SyntheticSweep


def terminal_text(report: Report) -> str:
    console = Console(width=250, file=StringIO(), record=True)
    console.print(report)
    return console.export_text()


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    return SyntheticSweep(test_images=10_000, predictions=False).write(tmp_path / "sweep")


def test_columns_are_factors_then_measurements(sweep: Path) -> None:
    table = sweep_table(load_jobs([sweep])[0])
    assert list(table) == [
        "optim.lr", "model", "seed",
        "train_accuracy", "test_accuracy", "best_test_accuracy", "best_epoch", "seconds",
    ]  # fmt: skip
    assert len(table) == 12


def test_run_counts_are_integers_beside_numeric_levels(tmp_path: Path) -> None:
    folder = SyntheticSweep(factors={"optim.lr": [0.02, 0.001], "seed": [1, 2]}, predictions=False).write(tmp_path)
    sections = {section.title: section.table for section in sweep_report(*load_jobs([folder])).sections}
    assert set(sections["Over seeds"]["n"]) == {"2"}


def test_status_is_a_column_unless_all_jobs_completed(tmp_path: Path) -> None:
    statuses = {0: Status.DIVERGED, 3: None, 4: Status.RUNNING}
    jobs, _ = load_jobs([SyntheticSweep(statuses=statuses).write(tmp_path / "sweep")])
    status = sweep_table(jobs)["status"].tolist()
    assert status[0] == "diverged after 1 of 3 epochs"
    assert (status[1], status[3]) == ("completed", "queued")
    assert status[4].startswith("running after")
    assert any("12 jobs: 9 completed" in line for line in header_lines(jobs))
    jobs[1].result["environment"] = {"cpu": "Xeon"}
    assert format_table(sweep_table(jobs))["processor"][3] == "–", "a queued job has none yet"


def test_a_job_that_ended_between_its_last_epoch_and_its_result_says_so(tmp_path: Path) -> None:
    write_job(tmp_path / "job", (0.9,), status=Status.INTERRUPTED)
    assert sweep_table(load_jobs([tmp_path])[0])["status"].tolist() == ["interrupted after its last epoch"]


def test_shared_values_and_numerics_are_listed_above_the_table(sweep: Path) -> None:
    lines = " ".join(header_lines(load_jobs([sweep])[0]))
    assert "optim=adam" in lines
    assert "optim.lr" not in lines
    assert "Numerics: cpu, float32, 2 threads, eager." in lines
    assert "picked on the test set itself" in lines


def test_every_table_lists_the_numerics(sweep: Path) -> None:
    tables = [section for section in sweep_report(load_jobs([sweep])[0]).sections if len(section.table)]
    assert [section.title for section in tables] == ["Jobs", "Over seeds", "Effects", "Analysis of variance"]
    assert all("Numerics: cpu, float32, 2 threads, eager." in section.lines for section in tables)


def test_numerics_are_a_column_if_they_differ(tmp_path: Path) -> None:
    write_job(tmp_path / "a", seed=1)
    write_job(tmp_path / "b", seed=2, numerics={"device": "cuda", "precision": "bf16", "compiled": True})
    assert sweep_table(load_jobs([tmp_path])[0])["numerics"].tolist() == [
        "cpu, fp32, 1 thread, eager",
        "cuda, bf16, compiled",
    ]


def test_processors_and_code_are_columns_and_lines_if_they_differ(tmp_path: Path) -> None:
    epyc = {"cpu": "AMD EPYC (family 25, model 17)", "gpu": None, "commit": "060681102a6db488", "dirty": False}
    hopper = {"cpu": "Intel Xeon", "gpu": "NVIDIA H200", "commit": "883d5ba883d5ba00", "dirty": True}
    write_job(tmp_path / "a", seed=1, environment=epyc)
    write_job(tmp_path / "b", seed=2, environment=epyc)
    jobs, _ = load_jobs([tmp_path])
    assert not {"processor", "code"} & set(sweep_table(jobs))
    assert not [line for line in header_lines(jobs) if line.startswith(("Processors", "Code"))]
    write_job(tmp_path / "c", seed=3, environment=hopper)
    write_job(tmp_path / "d", seed=4, environment={"cpu": None})
    jobs, _ = load_jobs([tmp_path])
    table = sweep_table(jobs)
    assert table["processor"].tolist() == [epyc["cpu"], epyc["cpu"], "NVIDIA H200", None]
    assert table["code"].tolist() == ["060681102a", "060681102a", "883d5ba883, changed", None]
    for section in sweep_report(jobs).sections:
        assert not len(section.table) or {
            "Processors: AMD EPYC (family 25, model 17); NVIDIA H200. Times on different processors can't be compared.",
            "Code: 060681102a; 883d5ba883, changed.",
        } <= set(section.lines)


@pytest.mark.parametrize(
    ("statuses", "said"),
    [
        ({}, ""),
        ({3: None}, " (not finished: 1 of 12 jobs are queued)"),
        ({3: None, 4: Status.RUNNING}, " (not finished: 2 of 12 jobs are running or queued)"),
        (
            {2: Status.INTERRUPTED, 3: None, 4: Status.RUNNING},
            " (not finished: 3 of 12 jobs are interrupted, running or queued)",
        ),
        ({3: Status.DIVERGED}, ""),
        ({3: Status.DIVERGED, 4: Status.FAILED}, " (not finished: 1 of 12 jobs failed)"),
        ({3: None, 4: Status.FAILED}, " (not finished: 1 of 12 jobs are queued, 1 failed)"),
    ],
)
def test_first_line_says_what_has_not_ended(tmp_path: Path, statuses: dict[int, Status | None], said: str) -> None:
    folder = SyntheticSweep(statuses=statuses, predictions=False).write(tmp_path / "sweep")
    assert write_table(folder).markdown().splitlines()[0] == f"# lr_vs_stem{said}"


def test_seconds_of_a_running_job_are_those_of_its_epochs(tmp_path: Path) -> None:
    write_job(tmp_path / "a", (0.9, 0.9, 0.9), status=Status.RUNNING, seconds=0.0)
    assert jobs_frame(load_jobs([tmp_path])[0])["seconds"].tolist() == [3.0]


def test_jobs_without_varying_factors_are_listed_by_name(tmp_path: Path) -> None:
    write_job(tmp_path / "a")
    assert sweep_table(load_jobs([tmp_path])[0])["name"].tolist() == ["a"]


def test_header_names_held_out_images_if_they_pick_the_best_epoch(tmp_path: Path) -> None:
    jobs, _ = load_jobs([SyntheticSweep(val=True, predictions=False).write(tmp_path / "sweep")])
    assert any("held-out training images" in line for line in header_lines(jobs))


def test_best_epoch_is_not_mentioned_without_one(tmp_path: Path) -> None:
    jobs, _ = load_jobs([SyntheticSweep(predictions=False).write(tmp_path / "sweep")])
    frame = jobs_frame(jobs)
    assert picked_text(frame)
    assert picked_text(frame.assign(best_picked_on=None)) == ""


def test_notes_are_shown_once(tmp_path: Path) -> None:
    notes = ["resumed on another device"]
    jobs, _ = load_jobs([SyntheticSweep(notes=notes, predictions=False).write(tmp_path / "sweep")])
    assert header_lines(jobs).count("Note: resumed on another device") == 1


def test_files_of_a_sweep_are_replaced_atomically(sweep: Path) -> None:
    (sweep / "table.md").write_text("old")
    report = write_table(sweep)
    assert (sweep / "table.md").read_text() == report.markdown()
    rows = list(csv.DictReader((sweep / "results.csv").open()))
    assert len(rows) == 12
    assert float(rows[0]["test_accuracy"]) == load_jobs([sweep])[0][0].history.last["test_accuracy"]
    assert not [path for path in sweep.iterdir() if path.name.startswith(".")]


def test_every_format_shows_every_job_and_the_mean_over_seeds(sweep: Path) -> None:
    report = write_table(sweep)
    mean = f"{100 * sum(job.history.last['test_accuracy'] for job in load_jobs([sweep])[0][:3]) / 3:.2f}"
    for text in (terminal_text(report), report.markdown(), report.latex()):
        assert text.count("stem7x7") >= 6
        assert mean in text
    assert "\\toprule" in report.latex()
    assert "95 \\% interval" in report.latex()


def test_title_of_an_unfinished_sweep_says_so(tmp_path: Path) -> None:
    statuses = {0: None, 1: Status.RUNNING}
    report = write_table(SyntheticSweep(statuses=statuses, predictions=False).write(tmp_path / "sweep"))
    assert "not finished: 2 of 12" in report.title


def test_empty_sweep_has_a_table(tmp_path: Path) -> None:
    (tmp_path / "sweep.json").write_text(json.dumps({"format": 1, "name": "empty", "jobs": []}))
    assert "0 jobs" in write_table(tmp_path).markdown()


def test_untrusted_names_are_escaped(tmp_path: Path) -> None:
    name = "<script>alert(1)</script>|\x1b[31m_\n$%&"
    folder = write_job(tmp_path / "job", name=name)
    report = sweep_report(load_jobs([folder])[0])
    assert "<script>" not in report.markdown()
    assert "\\|" in report.markdown()
    for text in (terminal_text(report), report.markdown(), report.latex()):
        assert "\x1b[31m" not in text
    assert "\\$\\%\\&" in report.latex()


def test_failures_and_remarks_are_one_line_each(tmp_path: Path) -> None:
    folder = SyntheticSweep(statuses={2: Status.FAILED}, predictions=False).write(tmp_path / "sweep")
    (folder / load_jobs([folder])[0][5].name / RESULT).write_text("{")
    text = write_table(folder).markdown()
    section = text[text.index("## Failed") :]
    assert "failed: ValueError: no such" in section
    assert "unreadable" in section


def test_grouping_by_a_factor_merges_the_others(sweep: Path) -> None:
    report = sweep_report(load_jobs([sweep])[0], by=["model"], metrics=["test_accuracy"])
    (section,) = [section for section in report.sections if section.title == "Over seeds"]
    # two rates are averaged within each of three seeds
    assert section.table["n"].tolist()[:2] == ["3", "3"]
    assert "Averaged within each seed over optim.lr: n counts seeds, and sd is between them alone." in section.lines
    assert section.table["averaged over"].tolist()[:2] == ["optim.lr: 0.001, 0.02"] * 2
    assert not any("different combinations" in line for line in section.lines)
    (found,) = [section for section in report.sections if section.title == "Effects"]
    assert found.table["pairs"].tolist() == ["6"]


def test_each_row_says_what_it_is_averaged_over_where_a_cell_is_empty(tmp_path: Path) -> None:
    # stem7x7 diverged at the higher rate: its mean is over one rate, beside one over two
    statuses = dict.fromkeys((9, 10, 11), Status.DIVERGED)
    folder = SyntheticSweep(statuses=statuses, predictions=False).write(tmp_path / "sweep")
    report = sweep_report(load_jobs([folder])[0], by=["model"], metrics=["test_accuracy"])
    (section,) = [section for section in report.sections if section.title == "Over seeds"]
    rows = section.table[["model", "averaged over", "n"]].to_numpy().tolist()[:2]
    assert rows == [["stem3x3", "optim.lr: 0.001, 0.02", "3"], ["stem7x7", "optim.lr: 0.001", "3"]]
    assert any("averaged over different combinations" in line for line in section.lines)
    alone = sweep_report(load_jobs([folder])[0], metrics=["test_accuracy"])
    assert all("averaged over" not in section.table for section in alone.sections)


def test_rows_over_as_many_but_other_combinations_are_said_to_differ(tmp_path: Path) -> None:
    rows = [
        {"model": model, "regularization": regularization, "optim.lr": rate, "seed": seed}
        for model in STEMS
        for regularization in ("dropout", "none")
        for rate in (0.001, 0.02)
        if (rate == 0.02) ^ (regularization == "none") ^ (model == "stem7x7")
        for seed in (1, 2)
    ]
    folder = SyntheticSweep(rows=rows, predictions=False).write(tmp_path / "sweep")
    report = sweep_report(load_jobs([folder])[0], by=["model"], metrics=["test_accuracy"])
    (section,) = [section for section in report.sections if section.title == "Over seeds"]
    assert len(set(section.table["averaged over"])) == 1
    assert any("averaged over different combinations" in line for line in section.lines)


STEMS = ("stem3x3", "stem7x7")


@pytest.mark.parametrize(
    ("done", "over"),
    [
        ({(stem, rate) for stem in STEMS for rate in (1, 2)}, "model: stem3x3, stem7x7; optim.lr: 1, 2"),
        (
            {("stem3x3", 1), ("stem3x3", 2), ("stem7x7", 1)},
            "3 of 4 combinations of model: stem3x3, stem7x7; optim.lr: 1, 2",
        ),
        ({("stem7x7", 1)}, "model: stem7x7; optim.lr: 1"),
        (set(), ""),
    ],
)
def test_levels_averaged_over_are_those_of_completed_runs(
    tmp_path: Path, done: set[tuple[str, int]], over: str
) -> None:
    rows = [{"model": model, "optim.lr": rate, "seed": seed} for model in STEMS for rate in (1, 2) for seed in (1, 2)]
    statuses = {index: Status.FAILED for index, row in enumerate(rows) if (row["model"], row["optim.lr"]) not in done}
    folder = SyntheticSweep(rows=rows, statuses=statuses, predictions=False).write(tmp_path / "sweep")
    summary = seeds_summary(jobs_frame(load_jobs([folder])[0]), [], ["test_accuracy"])
    assert summary["test_accuracy_over"].tolist() == [over]


@pytest.mark.parametrize(("by", "metrics"), [(["modle"], ["test_accuracy"]), (["model"], ["beauty"])])
def test_unknown_factors_and_metrics_are_rejected_by_name(sweep: Path, by: list[str], metrics: list[str]) -> None:
    with pytest.raises(UsageError, match=r"modle|beauty"):
        sweep_report(load_jobs([sweep])[0], by=by, metrics=metrics)


def test_report_lists_claims_and_every_epoch(tmp_path: Path) -> None:
    claims = [{"metric": "test_accuracy", "value": 0.85, "approximate": True, "words": "about 85 %"}]
    jobs = seeds(tmp_path / "runs", (0.9936, 0.9938, 0.9934), config={"claims": claims})
    text = sweep_report(jobs).markdown()
    assert "| lower than we find |" in text
    assert "at or below in 3 of 6 epochs, 3 of 3 runs" in text


def test_experiment_name_replaces_the_factors_it_sets(tmp_path: Path) -> None:
    for name, lr in (("a", 0.02), ("b", 0.001)):
        for seed in (1, 2):
            write_job(
                tmp_path / f"{name}{seed}", seed=seed, choices={"experiment": name}, config={"optim.lr": lr}
            )  # fmt: skip
    jobs, _ = load_jobs([tmp_path])
    assert list(sweep_table(jobs))[:3] == ["experiment", "seed", "train_accuracy"]
    sections = {section.title: section for section in sweep_report(jobs).sections}
    assert sections["What the experiments set"].table.to_numpy().tolist() == [["a", "0.02"], ["b", "0.001"]]
    assert sections["Over seeds"].table["experiment"].tolist()[:2] == ["a", "b"]


@pytest.mark.parametrize("first", ["[1, 2]", "*", "[x"])
def test_latex_row_may_begin_with_a_bracket(first: str) -> None:
    table = pd.DataFrame({"blocks": [first, "b"], "n": ["1", "2"]})
    lines = Report("title", [Section("s", [], table)]).latex().splitlines()
    assert not any(line.startswith(("[", "*")) for line in lines)
    assert any(line.startswith("{}" + first) for line in lines)


@pytest.mark.parametrize("width", [60, 80])
def test_tables_break_no_word_on_a_narrow_terminal(width: int, tmp_path: Path) -> None:
    folder = SyntheticSweep(statuses={2: Status.FAILED}, predictions=False).write(tmp_path / "sweep")
    report = sweep_report(*load_jobs([folder]))
    console = Console(width=width, file=StringIO(), record=True, soft_wrap=True)
    console.print(report)
    printed = console.export_text()
    words = {
        word for section in report.sections for cell in section.table.to_numpy().flat for word in str(cell).split()
    }
    words |= {word for section in report.sections for name in section.table for word in str(name).split()}
    assert [word for word in words if word not in printed.split()] == []
    tables = [line for line in printed.splitlines() if line.startswith("  ") or "stem3x3  " in line]
    assert max(map(len, tables)) <= width
    assert printed.count("no such <image>") == 1, "the reason of a failure stands once"


def test_several_data_sets_are_aggregated(tmp_path: Path) -> None:
    factors: dict[str, list[Any]] = {"data": ["mnist", "digits"], "model": ["stem3x3", "stem7x7"], "seed": [1, 2, 3]}
    folder = SyntheticSweep(factors=factors, predictions=False).write(tmp_path / "sweep")
    sections = {section.title: section.table for section in sweep_report(*load_jobs([folder])).sections}
    table = sections["Aggregates over data sets"]
    assert table["config"].tolist() == ["model=stem3x3", "model=stem7x7"]
    assert table["runs"].tolist() == ["6", "6"]
    better = float(table["better than the first"].iloc[1])
    assert 0 <= better < 0.5, "the 7 × 7 stem is worse in these runs"
    assert " to " in table["its interval"].iloc[1]


def test_fault_in_one_part_costs_that_part_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = SyntheticSweep().write(tmp_path / "sweep")
    whole = [section.title for section in sweep_report(*load_jobs([folder])).sections]

    def fail(*_: object) -> None:
        raise ValueError("must have at least one row in constraint matrix")

    monkeypatch.setattr("mnist_resnet.comparing.table.variance_section", fail)
    report = write_table(folder)
    assert [section.title for section in report.sections] == whole
    (lost,) = (section for section in report.sections if section.title == "Analysis of variance")
    assert "fault of this program (ValueError: must have at least one row in constraint matrix)" in lost.lines[0]
    assert len(lost.table) == 0
    assert (folder / "results.csv").read_text().count("\n") == 13
