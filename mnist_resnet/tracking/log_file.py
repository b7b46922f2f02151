"""`train.log`: a job's course in the report's own log lines."""

from typing import Any, TextIO

from mnist_resnet.job_folder import LOG, Metrics
from mnist_resnet.tracking.callback import Run


class LogFile:
    """An observer that writes what the report's program printed.

    The report's "average loss" is the sum of the batches' means divided by the number of images: that figure stands in
    its lines, with the true mean for each image beside it.

    Args:
        train_count: training images in an epoch.
        test_count: test images.
        batch_size: training images in a batch.
        test_batch_size: test images in a batch.
    """

    def __init__(self, train_count: int, test_count: int, batch_size: int, test_batch_size: int) -> None:
        self.train_count, self.test_count = train_count, test_count
        self.batch_size, self.test_batch_size = batch_size, test_batch_size
        self._file: TextIO | None = None

    def begin(self, run: Run) -> None:
        """Open the log behind what earlier attempts wrote."""
        self._file = (run.folder / LOG).open("a", encoding="utf-8", buffering=1)
        self._write(f"{run.name}: goes on after epoch {len(run.history) - 1}" if run.history else run.name)

    def batch(self, epoch: int, step: int, loss: float, accuracy: float) -> None:  # noqa: ARG002
        """The report's line of every tenth batch: epoch, images seen, all images, per cent, the batch's loss."""
        seen = step * self.batch_size
        share = 100 * seen / self.train_count
        self._write(f"Train Epoch: {epoch} [{seen}/{self.train_count} ({share:.0f}%)]\tLoss: {loss:.6f}")

    def epoch(self, metrics: Metrics) -> None:
        """The report's two lines at an epoch's end."""
        for name, count, batch_size in (
            ("train", self.train_count, self.batch_size),
            ("test", self.test_count, self.test_batch_size),
        ):
            loss, accuracy = metrics[f"{name}_loss"], metrics[f"{name}_accuracy"]
            self._write(
                f"{name.capitalize()} set: Average loss: {report_loss(loss, count, batch_size):.4f}, "
                f"Accuracy: {round(accuracy * count)}/{count} ({100 * accuracy:.2f}%)  (mean per image: {loss:.6f})"
            )

    def end(self, result: dict[str, Any]) -> None:
        """Say how it ended, and close the file."""
        error = result.get("error")
        self._write(f"{result['status']}{': ' + error['message'] if error else ''}")
        if self._file:
            self._file.close()
            self._file = None

    def _write(self, line: str) -> None:
        if self._file:
            self._file.write(line + "\n")


def report_loss(mean: float, count: int, batch_size: int) -> float:
    """The report's "average loss" for a true mean per image: the sum of batch means over the number of images.

    Exact where all batches are of one size; the images of a smaller last batch are taken to be like all the others.
    """
    batches = -(-count // batch_size)
    return mean * batches / count
