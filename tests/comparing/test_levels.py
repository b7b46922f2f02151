"""A level is spelt in one way in all tables."""

from pathlib import Path

import pytest

from mnist_resnet.comparing.job_reader import load_jobs
from mnist_resnet.comparing.table import sweep_report
from mnist_resnet.config.levels import in_one_spelling
from tests.made_up_jobs import write_job


def test_null_level_is_spelt_alike_everywhere(tmp_path: Path) -> None:
    for size in (None, 1000):
        for seed in (1, 2):
            write_job(tmp_path / f"{size}-{seed}", (0.9 + seed / 100,), seed=seed, config={"data.val_size": size})
    sections = {section.title: section.table for section in sweep_report(load_jobs([tmp_path])[0]).sections}
    assert set(sections["Jobs"]["data.val_size"]) == {"null", "1000"}
    assert set(sections["Over seeds"]["data.val_size"]) == {"null", "1000"}
    assert set(sections["Effects"]["change"]) <= {"data.val_size: 1000 → null", "data.val_size: null → 1000"}


@pytest.mark.parametrize("rate", [1e6, 1_000_000, 1e-7, 0.1])
def test_number_is_spelt_alike_everywhere(tmp_path: Path, rate: float) -> None:
    claims = [{"metric": "test_accuracy", "value": 0.9, "words": "90 %"}]
    for level in (rate, 0.5):
        for seed in (1, 2):
            config = {"optim.lr": level, "claims": claims}
            write_job(tmp_path / f"{level}-{seed}", (0.9,), seed=seed, config=config, swept={"optim.lr": level})
    sections = {section.title: section.table for section in sweep_report(load_jobs([tmp_path])[0]).sections}
    text = f"{rate:.12g}"
    assert set(sections["Jobs"]["optim.lr"]) == {text, "0.5"}
    assert set(sections["Over seeds"]["optim.lr"]) == {text, "0.5"}
    assert set(sections["Claims"]["config"]) == {f"optim.lr={text}", "optim.lr=0.5"}
    assert any(text in change for change in sections["Effects"]["change"])


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("lr=1e6", "lr=1000000"),
        ("lr=1000000.0", "lr=1000000"),
        ("lr=1_0.50", "lr=10.5"),
        ("lr=0.00001", "lr=1e-05"),
        ("lr=0.30000000000000004", "lr=0.30000000000000004"),
        ("seed=007", "seed=007"),
        ("run=2.0.1", "run=2.0.1"),
        ("model=stem3x3", "model=stem3x3"),
        ("blocks=[1.0,2.0]", "blocks=[1.0,2.0]"),
        ("note=", "note="),
        ("optim.lr=0-eebeb1f98042", "optim.lr=0-eebeb1f98042"),
    ],
)
def test_override_is_spelt_as_its_level(typed: str, shown: str) -> None:
    assert in_one_spelling(typed) == shown


def test_key_that_older_code_lacks_is_no_level(tmp_path: Path) -> None:
    for name, choice in (("old", None), ("a", "none"), ("b", "balanced")):
        for seed in (1, 2):
            choices = {"sampler": choice} if choice else {}
            write_job(tmp_path / f"{name}{seed}", (0.9 + seed / 100,), seed=seed, choices=choices)
    (section,) = [s for s in sweep_report(load_jobs([tmp_path])[0]).sections if s.title == "Effects"]
    assert section.table["change"].tolist() == ["sampler: none → balanced"]
    assert "Jobs that lack sampler, which newer code records, have no part in its effect (2)." in section.lines
