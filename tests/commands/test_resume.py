"""`python -m mnist_resnet.resume` on folders that are no sweep, or not any more: one line, exit code 2, nothing run."""

import json
from pathlib import Path

import pytest

from mnist_resnet import resume

JOB = {"name": "a", "config": {}, "overrides": [], "swept": {}, "choices": {}, "signature": "s"}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"format": 1, "jobs": []}, "job list is empty"),
        ({"format": 1}, "job list can't be read"),
        ({"format": 1, "jobs": [JOB]}, "seed: must be given"),
        ({"format": 1, "jobs": [JOB | {"config": None}]}, "no config"),
        ({"format": 1, "jobs": [JOB | {"name": "../b"}]}, "lead out of the sweep folder"),
        ({"format": 99, "jobs": [JOB]}, "format 99"),
    ],
)
def test_one_line(
    content: object, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sweep.json").write_text(json.dumps(content))
    monkeypatch.setattr("sys.argv", ["resume", str(tmp_path)])
    with pytest.raises(SystemExit) as end:
        resume.main()
    said = capsys.readouterr()
    assert end.value.code == 2
    assert says in said.err
    assert said.err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["sweep.json"]
