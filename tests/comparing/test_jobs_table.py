"""What the table of jobs says of some of them alone: metrics that are no numbers, notes."""

from pathlib import Path

import pytest

from mnist_resnet.comparing.job_reader import load_jobs
from mnist_resnet.comparing.jobs_table import header_lines
from mnist_resnet.comparing.table import sweep_report
from tests.made_up_jobs import epoch_line, write_job


@pytest.mark.parametrize("absent", [{"ece": float("nan")}, {"ece": float("inf")}, {}])
def test_jobs_without_a_number_are_told_and_not_counted(tmp_path: Path, absent: dict[str, float]) -> None:
    declared = {"metrics": {"ece": {"better": "lower"}}}
    for seed, own in (1, {"ece": 0.5}), (2, absent), (3, {"ece": 0.7}):
        last = epoch_line(0, 0.9) | own
        write_job(tmp_path / f"seed={seed}", (0.9,), seed=seed, config=declared, last=last)
    jobs_section, seeds_section = sweep_report(load_jobs([tmp_path])[0]).sections[:2]
    told = [line for line in jobs_section.lines if line.startswith("ece")]
    assert told == [
        "ece: 1 of 3 completed jobs reported no finite number (nan, or nothing), and have no part in its figures."
    ]
    rows = seeds_section.table.set_index("metric")
    assert (rows["n"]["ece"], rows["mean"]["ece"]) == ("2 of 3", "0.6")
    assert rows["n"]["test accuracy"] == "3"


def test_notes_name_their_jobs_unless_all_have_them(tmp_path: Path) -> None:
    for seed in range(1, 7):
        own = {1: ["goes on"], 6: []}.get(seed, ["resumed elsewhere"])
        write_job(tmp_path / f"seed={seed}", seed=seed, notes=["slow disk", *own])
    lines = [line for line in header_lines(load_jobs([tmp_path])[0]) if line.startswith("Note")]
    assert lines == [
        "Note: slow disk",
        "Note on seed=1: goes on",
        "Note on seed=2; seed=3; seed=4 and 1 more: resumed elsewhere",
    ]
