"""The files at a sweep's end: a fault in one does not take the others along."""

from pathlib import Path

import pytest
from rich.console import Console

from mnist_resnet.sweeps.finish import write_summary_once
from mnist_resnet.tracking.guarded import GuardedTracker
from tests.synthetic_sweep import SyntheticSweep


def test_fault_in_the_table_leaves_dashboard_and_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = SyntheticSweep(predictions=False).write(tmp_path / "sweep")

    def fail(_: Path) -> None:
        raise ValueError("no such row")

    monkeypatch.setattr("mnist_resnet.comparing.table.write_table", fail)
    tracker = GuardedTracker({"_target_": "mnist_resnet.tracking.no_tracker.NoTracker"})
    write_summary_once(folder, tracker, Console(width=300))
    said = capsys.readouterr().out
    assert "table.md and results.csv not written by a fault of this program (ValueError: no such row)" in said
    assert (folder / "dashboard.html").exists()
    assert list((folder / "figures").iterdir())
    assert not (folder / "table.md").exists()
