"""Writes `train.log`: a job's progress in the log format of the report."""

from typing import Any, TextIO

from mnist_resnet.job_folder import LOG, Metrics
from mnist_resnet.stored_file import append_stored
from mnist_resnet.tracking.callback import RunInfo


class LogFile:
    """A callback that writes the lines that the report's program printed.

    The report's "average loss" is the sum of the batches' mean losses divided by the number of images. The lines hold
    that figure, followed by the true mean loss per image.

    Args:
        train_count: number of training images in an epoch.
        test_count: number of test images.
        batch_size: training images per batch.
        test_batch_size: test images per batch.
    """

    def __init__(self, train_count: int, test_count: int, batch_size: int, test_batch_size: int) -> None:
        self.train_count, self.test_count = train_count, test_count
        self.batch_size, self.test_batch_size = batch_size, test_batch_size
        self._file: TextIO | None = None

    def begin(self, run: RunInfo) -> None:
        """Open the log, and append after the lines of earlier attempts."""
        self._file = append_stored(run.folder / LOG)
        self._write(f"{run.name}: resumes after epoch {len(run.history) - 1}" if run.history else run.name)

    def batch(self, epoch: int, step: int, loss: float, accuracy: float) -> None:  # noqa: ARG002
        """Write the report's line for a batch: epoch, images processed before it, all images, percentage, mean loss."""
        images = step * self.batch_size
        percent = 100 * images / self.train_count
        self._write(f"Train Epoch: {epoch} [{images}/{self.train_count} ({percent:.0f}%)]\tLoss: {loss:.6f}")

    def epoch(self, metrics: Metrics) -> None:
        """Write the report's two lines for an epoch: training set and test set; of numbers, without an accuracy."""
        for name, count, batch_size in (
            ("train", self.train_count, self.batch_size),
            ("test", self.test_count, self.test_batch_size),
        ):
            loss, accuracy = metrics[f"{name}_loss"], metrics.get(f"{name}_accuracy")
            right = "" if accuracy is None else f", Accuracy: {round(accuracy * count)}/{count} ({100 * accuracy:.2f}%)"
            self._write(
                f"{name.capitalize()} set: Average loss: {report_loss(loss, count, batch_size):.4f}{right}  "
                f"(mean per image: {loss:.6f})"
            )

    def end(self, result: dict[str, Any]) -> None:
        """Write the job's status and error message, and close the file."""
        error = result.get("error")
        self._write(f"{result['status']}{': ' + error['message'] if error else ''}")
        if self._file:
            self._file.close()
            self._file = None

    def lost(self) -> None:
        """Close the file; its next lines are the new holder's."""
        if self._file:
            self._file.close()
            self._file = None

    def _write(self, line: str) -> None:
        if self._file:
            self._file.write(line + "\n")


def report_loss(mean: float, count: int, batch_size: int) -> float:
    """Return the report's "average loss": the sum of the batches' mean losses divided by the number of images.

    It is exact if all batches have the same size. The images of a smaller last batch are assumed to have the mean loss
    of all images.

    Args:
        mean: true mean loss per image.
        count: number of images.
        batch_size: images per batch.
    """
    batches = -(-count // batch_size)
    return mean * batches / count
