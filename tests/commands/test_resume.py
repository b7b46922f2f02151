"""`python -m mnist_resnet.resume` on folders that hold no valid sweep: one error line, exit code 2, nothing is run."""

import json
from pathlib import Path

import pytest

from mnist_resnet import resume

JOB = {"name": "a", "config": {}, "overrides": [], "swept": {}, "choices": {}, "signature": "s"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"format": 1, "jobs": []}, "job list is empty"),
        ({"format": 1}, "job list can't be read"),
        ({"format": 1, "jobs": [JOB]}, "seed: must be given"),
        ({"format": 1, "jobs": [JOB | {"config": None}]}, "not a valid job, config"),
        ({"format": 1, "jobs": [JOB | {"name": "../b"}]}, "lead out of the sweep folder"),
        ({"format": 99, "jobs": [JOB]}, "format 99"),
    ],
)
def test_invalid_sweep_prints_one_line(
    content: object, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sweep.json").write_text(json.dumps(content))
    assert resume.main([str(tmp_path)]) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["sweep.json"]
