"""A tracker of the user's own."""

import json
from pathlib import Path
from typing import Any

import pandas

from mnist_resnet.job_folder import Metrics
from mnist_resnet.tracking.callback import RunInfo


class Diary:
    """Writes what it is told into a file in the job folder, and the sweep's table beside the jobs."""

    def __init__(self, mode: str, file: str) -> None:
        self.mode, self.file = mode, file

    def begin(self, run: RunInfo) -> None:
        """The job starts."""
        self._path = run.folder / self.file
        self._write("begin", name=run.name, group=run.group, epochs=run.epochs, classes=run.config["data"]["classes"])

    def batch(self, epoch: int, step: int, loss: float, accuracy: float) -> None:
        """Some steps of an epoch."""
        self._write("batch", epoch=epoch, step=step, loss=loss, accuracy=accuracy)

    def epoch(self, metrics: Metrics) -> None:
        """An epoch ended."""
        self._write("epoch", **metrics)

    def end(self, result: dict[str, Any]) -> None:
        """The job ended."""
        self._write("end", status=result["status"])

    def sweep_ended(self, folder: Path, table: pandas.DataFrame) -> None:
        """The sweep ended."""
        (folder / self.file).write_text(json.dumps({"jobs": len(table)}) + "\n")

    def hint(self, folder: Path) -> str | None:
        """Shown at the end."""
        return f"the diary lies in {folder / self.file}"

    def _write(self, what: str, **said: Any) -> None:
        with self._path.open("a") as file:
            file.write(json.dumps({"what": what, **said}) + "\n")


class Unreliable(Diary):
    """Fails in one of the calls it gets."""

    def __init__(self, mode: str, file: str, fails_in: str) -> None:
        super().__init__(mode, file)
        if fails_in == "__init__":
            self._fail()
        setattr(self, fails_in, self._fail)

    def _fail(self, *_: Any) -> None:
        raise RuntimeError("on purpose")
