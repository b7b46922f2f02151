"""What the report on a search's trials shows that no other sweep's does, and leaves out."""

import json
from pathlib import Path

import pytest

from mnist_resnet.comparing.cells import format_metric
from mnist_resnet.comparing.job_reader import load_jobs
from mnist_resnet.comparing.report import Report
from mnist_resnet.comparing.searched import searched
from mnist_resnet.comparing.table import sweep_report
from mnist_resnet.job_folder import FORMAT, SEARCH, write_metrics
from tests.made_up_jobs import epoch_line, write_job
from tests.synthetic_sweep import SyntheticSweep


@pytest.mark.parametrize(
    ("objective", "columns"),
    [
        ({"objective": "val_loss", "objective_epoch": "last"}, {"val_loss": ["0.3", "0.4"]}),
        ({"objective": "val_loss", "objective_epoch": "best"}, {"best val_loss": ["0.2", "0.4"]}),
        (
            {"objective": ["val_loss", "training_seconds"], "constraints": ["val_accuracy>=0.5"]},
            {"val_loss": ["0.3", "0.4"], "training, s": ["60", "60"], "val accuracy, %": ["90.00", "80.00"]},
        ),
        ({"objective": "training_seconds"}, {"training, s": ["60", "60"]}),
        ({"objective": "test_accuracy"}, {}),
    ],
)
def test_table_of_a_search_has_what_its_trials_are_judged_by(
    tmp_path: Path, objective: dict[str, object], columns: dict[str, list[str]]
) -> None:
    config = {f"sweep.{key}": value for key, value in ({"objective_epoch": "last"} | objective).items()}
    losses = {0.01: [0.5, 0.2, 0.3], 0.02: [0.5, 0.6, 0.4]}
    accuracies = {0.01: [0.7, 0.8, 0.9], 0.02: [0.6, 0.7, 0.8]}
    for lr, values in losses.items():
        write_job(tmp_path / f"lr={lr}", tuple(accuracies[lr]), config=config | {"optim.lr": lr}, signature=str(lr))
        lines = [
            epoch_line(epoch, 0.9) | {"val_loss": loss, "val_accuracy": accuracy, "training_seconds": 20.0}
            for epoch, (loss, accuracy) in enumerate(zip(values, accuracies[lr], strict=True))
        ]
        write_metrics(tmp_path / f"lr={lr}", lines)
    (tmp_path / SEARCH).write_text(json.dumps({"format": FORMAT, "space": []}))
    table = _report(tmp_path).sections[0].table
    usual = ["optim.lr", "train accuracy, %", "test accuracy, %", "best test accuracy, %", "best epoch"]
    assert list(table) == [*usual, *columns, "seconds"]
    assert {heading: table[heading].tolist() for heading in columns} == columns
    found = searched(load_jobs([tmp_path])[0])
    if found and objective["objective"] != "test_accuracy":
        assert [format_metric(found.metric, value) for value in found.values] == next(iter(columns.values()))


def test_numbers_of_an_interval_are_no_planned_changes(tmp_path: Path) -> None:
    rows = [{"optim.lr": lr, "model.width": width} for lr, width in ((0.001, 8), (0.02, 8), (0.003, 8), (0.003, 16))]
    base = {"sweep.objective": "val_accuracy", "sweep.objective_epoch": "last"}
    folder = SyntheticSweep(rows=rows, base=base, val=True, predictions=False).write(tmp_path / "found")
    space = [{"key": "optim.lr", "typed": "interval(1e-3, 1e-1)"}, {"key": "model.width", "typed": "8,16"}]
    search = json.dumps({"format": FORMAT, "space": space})
    assert "One change at a time" in [section.title for section in _report(folder).sections]
    (folder / SEARCH).write_text(search)
    assert "One change at a time" not in [section.title for section in _report(folder).sections]


def _report(folder: Path) -> Report:
    return sweep_report(*load_jobs([folder]))
