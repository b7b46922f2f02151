"""`results.csv` is read by others' programs without any options."""

from pathlib import Path
from typing import Any

import pandas as pd
import polars
import pytest

from mnist_resnet.comparing.table import write_table
from tests.synthetic_sweep import SyntheticSweep

EVERY, EPOCHS = "trainer.checkpoint_every", "trainer.epochs"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Results of four jobs; one factor has a null level, and the last job has not begun."""
    factors: dict[str, list[Any]] = {EVERY: [None, 3], EPOCHS: [2, 3]}
    folder = SyntheticSweep(factors=factors, statuses={3: None}, predictions=False).write(tmp_path / "sweep")
    write_table(folder)
    return folder / "results.csv"


def test_pandas_keeps_a_null_level_and_whole_numbers(file: Path) -> None:
    read = pd.read_csv(file)
    assert read[EVERY].tolist() == ["(null)", "(null)", "3", "3"]
    assert read.groupby(EVERY).size().to_dict() == {"(null)": 2, "3": 2}
    assert repr(read[EPOCHS].tolist()) == "[2, 3, 2, 3]"
    assert read["test_accuracy"].isna().tolist() == [False, False, False, True]


def test_polars_keeps_a_null_level_and_whole_numbers(file: Path) -> None:
    read = polars.read_csv(file)
    assert read[EVERY].to_list() == ["(null)", "(null)", "3", "3"]
    assert read.schema[EPOCHS] == read.schema["epochs_completed"] == read.schema["best_epoch"] == polars.Int64
    assert read["best_epoch"].to_list()[-1] is None
    assert read.schema["test_accuracy"] == polars.Float64


TEXTS = ["None", "NaN", "null", "NA", "n/a", "nan", "", "none", "a,b", "x"]


def test_texts_that_mean_missing_to_readers_stay_levels(tmp_path: Path) -> None:
    folder = SyntheticSweep(name="NA", factors={"optim.kind": TEXTS}, predictions=False).write(tmp_path / "NA")
    write_table(folder)
    expected = [*(f"({text})" for text in TEXTS[:7]), *TEXTS[7:]]
    read = pd.read_csv(folder / "results.csv")
    assert read["optim.kind"].tolist() == polars.read_csv(folder / "results.csv")["optim.kind"].to_list() == expected
    assert set(read["sweep"]) == {"(NA)"}
