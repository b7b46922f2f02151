"""The paragraph on methods names what a report contains, and no more."""

from pathlib import Path

import pytest

from mnist_resnet.comparing.job_reader import load_jobs
from mnist_resnet.comparing.table import sweep_report
from mnist_resnet.job_folder import Status
from tests.made_up_jobs import write_job
from tests.synthetic_sweep import SyntheticSweep


def test_factorial_with_seeds_has_an_analysis_of_variance_and_a_paragraph_on_methods(tmp_path: Path) -> None:
    folder = SyntheticSweep(predictions=False).write(tmp_path / "sweep")
    report = sweep_report(*load_jobs([folder]))
    (table,) = (section.table for section in report.sections if section.title == "Analysis of variance")
    assert table["factor"].tolist() == ["optim.lr", "model", "optim.lr × model"]
    methods = report.markdown().split("## Methods")[1]
    assert "with 3 seeds" in methods
    assert "type II" in methods
    assert "Holm" in methods
    assert "Dodge" not in methods


@pytest.mark.parametrize(
    ("completed", "said"),
    [
        (0, None),
        (1, "Effects are mean differences between runs paired by seed"),
        (2, "with 0 to 2 seeds"),
    ],
)
def test_methods_name_no_test_that_an_unfinished_sweep_does_not_contain(
    completed: int, said: str | None, tmp_path: Path
) -> None:
    for row, rate in enumerate((0.0005, 0.001, 0.02)):
        for seed in (1, 2):
            done = seed <= completed and row < 3 - completed
            claims = [{"metric": "test_accuracy", "value": 0.85, "words": "about 85 %"}]
            write_job(
                tmp_path / f"{rate}{seed}",
                (0.9 + seed / 100,),
                seed=seed,
                status=Status.COMPLETED if done else Status.INTERRUPTED,
                config={"optim.lr": rate, "claims": claims},
                overrides=[f"optim.lr={rate}"],
            )
    report = sweep_report(load_jobs([tmp_path])[0])
    assert "Claims" in [section.title for section in report.sections]
    assert all(len(section.table) for section in report.sections if section.title == "Claims, epoch by epoch")
    over_seeds = next(section for section in report.sections if section.title == "Over seeds")
    assert len(over_seeds.table) > 0 or over_seeds.lines[0].startswith("No job has completed")
    assert bool(completed) == (len(over_seeds.table) > 0)
    assert report.methods[1:] == [], "no reference of a test"
    assert (said in report.methods[0]) if said else not report.methods
    assert "was compared" not in report.markdown().split("## Methods")[-1]
