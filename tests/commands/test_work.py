"""`python -m mnist_resnet.work`: the line on what ended it early."""

from pathlib import Path
from typing import Any

import pytest

from mnist_resnet import work


def test_worker_whose_disk_is_full_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*_: Any) -> int:
        return Path("/dev/full").open("wb", buffering=0).write(b"no room for it")

    monkeypatch.setattr("mnist_resnet.launchers.worker.work", run)
    assert work.main([str(tmp_path)]) == 1
    assert capsys.readouterr().err == "ended early: No space left on device; make room before you resume\n"
