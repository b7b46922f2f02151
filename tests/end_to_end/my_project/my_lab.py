"""A user's own code: nothing in the framework knows it but by its name in a config."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas
import torch
from torch import Tensor, nn

from mnist_resnet.job_folder import Metrics
from mnist_resnet.running.dataset import DataSet, LabelledImages
from mnist_resnet.running.observer import Run


class Linear(nn.Module):
    """One linear layer over the pixels."""

    def __init__(self, pixels: int, classes: int) -> None:
        super().__init__()
        self.layer = nn.Linear(pixels, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits [batch, classes]."""
        logits: Tensor = self.layer(images.flatten(1))
        return logits


def stripes(size: int) -> DataSet:
    """Images of one bright row; the row is the class."""
    labels = torch.arange(40) % 4
    pixels = torch.zeros(40, 1, size, size, dtype=torch.uint8)
    pixels[torch.arange(40), 0, labels] = 255
    return DataSet(LabelledImages(pixels, labels), LabelledImages(pixels[:20], labels[:20]))


class SignDescent(torch.optim.Optimizer):
    """Steps of one size against each gradient's sign."""

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float) -> None:
        super().__init__(parameters, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One step."""
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter -= group["lr"] * parameter.grad.sign()


class Diary:
    """A tracker that writes what it is told into a file of the job folder."""

    def __init__(self, mode: str, title: str) -> None:
        self.title = title
        self._lines: list[str] = []
        self._folder = Path()

    def begin(self, run: Run) -> None:
        """The job starts."""
        self._folder = run.folder
        self._lines.append(f"{self.title}: {run.name}")

    def batch(self, epoch: int, step: int, loss: float, accuracy: float) -> None:
        """Not of interest."""

    def epoch(self, metrics: Metrics) -> None:
        """An epoch ended."""
        self._lines.append(f"epoch {metrics['epoch']}")

    def end(self, result: dict[str, Any]) -> None:
        """The job ended."""
        (self._folder / "diary.txt").write_text("\n".join([*self._lines, result["status"]]))

    def sweep_ended(self, folder: Path, table: pandas.DataFrame) -> None:
        """A sweep ended."""
        (folder / "diary.txt").write_text(f"{len(table)} jobs")

    def hint(self, folder: Path) -> str | None:
        """Where to read it."""
        return f"a diary is in {folder}"
