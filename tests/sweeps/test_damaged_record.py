"""Records that were damaged, by hand or by a merge, are refused by `restore`, and nothing is written."""

import json
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest

from mnist_resnet import restore as restore_command
from mnist_resnet.config.signature import signature
from mnist_resnet.job_folder import SWEEP, UnreadableFolder, read_json
from mnist_resnet.sweeps.record import publish
from mnist_resnet.sweeps.restore import restore
from tests.synthetic_sweep import SyntheticSweep, set_key


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"name": "../elsewhere"}, "is not a valid folder name"),
        ({"jobs": [{"name": "../elsewhere"}]}, "job list can't be read"),
        ({"search": True}, "a search can't go on from a record"),
        ({"format": 99}, "format 99"),
    ],
)
def test_unusable_record_prints_one_line(
    changed: dict[str, object], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    record = SyntheticSweep(predictions=False).write(tmp_path / "record")
    (record / SWEEP).write_text(json.dumps(json.loads((record / SWEEP).read_text()) | changed))
    assert restore_command.main([str(record)]) == 2
    printed = capsys.readouterr().err
    assert says in printed
    assert printed.count("\n") == 1
    assert [path.name for path in tmp_path.rglob("*") if path.parent == tmp_path] == ["record"]


def change(file: Path, key: str, value: object) -> None:
    """Set a dotted key in a JSON file."""
    content = json.loads(file.read_text())
    set_key(content, key, value)
    file.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda job: (job / "metrics.jsonl").unlink(), "metrics.jsonl: 0 lines can be read, and result.json counts 3"),
        (
            lambda job: (job / "metrics.jsonl").write_text(
                (job / "metrics.jsonl").read_text().replace("{", "=======\n{", 2)
            ),
            "metrics.jsonl: 0 lines can be read",
        ),
        (lambda job: change(job / "result.json", "last.test_accuracy", 1.7), "result.json: last.test_accuracy is not"),
        (lambda job: change(job / "result.json", "epochs", 9), "result.json: is completed, and has 3 of 9 epochs"),
    ],
)
def test_result_that_disagrees_with_its_metrics_is_refused(
    damage: Callable[[Path], object], says: str, tmp_path: Path
) -> None:
    record = SyntheticSweep(predictions=False).write(tmp_path / "record")
    damage(next(record.glob("*/result.json")).parent)
    with pytest.raises(UnreadableFolder, match=says):
        restore(record, tmp_path / "multirun" / "x")
    with pytest.raises(UnreadableFolder, match=says):
        publish(record, tmp_path / "again")
    assert not (tmp_path / "multirun" / "x").exists()
    assert not (tmp_path / "again").exists()


def test_job_that_a_merge_has_listed_twice_is_named(tmp_path: Path) -> None:
    record = SyntheticSweep(factors={"seed": [1, 2]}, predictions=False).write(tmp_path / "record")
    content = read_json(record / SWEEP)
    (record / SWEEP).write_text(json.dumps(content | {"jobs": [*content["jobs"], content["jobs"][1]]}))
    with pytest.raises(UnreadableFolder, match=r"sweep\.json: lists seed=2 twice"):
        restore(record, tmp_path / "restored")


@pytest.mark.parametrize(("is_older", "is_refused"), [(False, True), (True, False)])
def test_config_that_was_changed_after_it_was_signed_is_refused(
    is_older: bool, is_refused: bool, tmp_path: Path
) -> None:
    record = SyntheticSweep(predictions=False).write(tmp_path / "record")
    content = read_json(record / SWEEP)
    shutil.rmtree(record)
    record.mkdir()
    for job in content["jobs"]:
        job |= {
            "signature": signature(job["config"]),
            "code": {"source": "1"} if is_older else {"source": "1", "packages": {}},
        }
    content["jobs"][1]["config"]["optim"]["lr"] = 0.5
    (record / SWEEP).write_text(json.dumps(content))
    with pytest.raises(UnreadableFolder, match="has been changed since it was signed") if is_refused else nullcontext():
        restore(record, tmp_path / "restored")


def test_result_with_the_marks_of_a_merge_conflict_is_refused(tmp_path: Path) -> None:
    record = SyntheticSweep(predictions=False).write(tmp_path / "record")
    file = next(record.glob("*/result.json"))
    file.write_text("<<<<<<< HEAD\n" + file.read_text())
    with pytest.raises(UnreadableFolder, match="can't be read"):
        restore(record, tmp_path / "multirun" / "x")
    assert not (tmp_path / "multirun" / "x").exists()
