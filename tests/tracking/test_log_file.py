"""`train.log`: lines in the report's format, with the report's average loss and the true mean."""

from pathlib import Path
from typing import Any

import pytest

from mnist_resnet.job_folder import LOG, Metrics
from mnist_resnet.tracking.callback import RunInfo
from mnist_resnet.tracking.log_file import LogFile, report_loss
from tests.small_training import small, trained

METRICS: Metrics = {"epoch": 0, "train_loss": 0.0064, "train_accuracy": 59_950 / 60_000} | {
    "test_loss": 0.1,
    "test_accuracy": 0.9944,
}


def run_info(folder: Path, **fields: Any) -> RunInfo:
    return RunInfo("0" * 16, "row_d", None, [], folder, {}, steps_per_epoch=938, epochs=2, **fields)


def lines(folder: Path) -> list[str]:
    return (folder / LOG).read_text(encoding="utf-8").splitlines()


def test_lines_have_the_reports_format(tmp_path: Path) -> None:
    log = LogFile(60_000, 10_000, 64, 1000)
    log.begin(run_info(tmp_path))
    log.batch(9, 0, 0.2699999, 0.5)
    log.batch(9, 930, 0.0003, 0.999)
    log.epoch(METRICS)
    log.end({"status": "completed", "error": None})
    assert lines(tmp_path) == [
        "row_d",
        "Train Epoch: 9 [0/60000 (0%)]\tLoss: 0.270000",
        "Train Epoch: 9 [59520/60000 (99%)]\tLoss: 0.000300",
        "Train set: Average loss: 0.0001, Accuracy: 59950/60000 (99.92%)  (mean per image: 0.006400)",
        "Test set: Average loss: 0.0001, Accuracy: 9944/10000 (99.44%)  (mean per image: 0.100000)",
        "completed",
    ]


def test_lines_are_written_immediately(tmp_path: Path) -> None:
    log = LogFile(60_000, 10_000, 64, 1000)
    log.begin(run_info(tmp_path))
    log.batch(0, 10, 1.5, 0.5)
    assert lines(tmp_path)[-1] == "Train Epoch: 0 [640/60000 (1%)]\tLoss: 1.500000"
    log.end({"status": "interrupted", "error": None})


def test_later_attempt_appends_to_the_log(tmp_path: Path) -> None:
    for history in ([], [METRICS]):
        log = LogFile(60_000, 10_000, 64, 1000)
        log.begin(run_info(tmp_path, history=history))
        log.end({"status": "diverged", "error": {"message": "loss nan in epoch 1, step 3"}})
    assert lines(tmp_path) == [
        "row_d",
        "diverged: loss nan in epoch 1, step 3",
        "row_d: resumes after epoch 0",
        "diverged: loss nan in epoch 1, step 3",
    ]


def test_end_without_begin_writes_nothing(tmp_path: Path) -> None:
    LogFile(60_000, 10_000, 64, 1000).end({"status": "failed", "error": {"message": "no data"}})
    assert not (tmp_path / LOG).exists()


@pytest.mark.parametrize(
    ("batch_means", "count", "batch_size"),
    [([0.5, 0.25, 0.125], 192, 64), ([0.5], 360, 1000), ([0.3, 0.3, 0.3], 130, 64)],
)
def test_report_loss_is_the_sum_of_batch_means_divided_by_the_images(
    batch_means: list[float], count: int, batch_size: int
) -> None:
    sizes = [min(batch_size, count - batch_size * batch) for batch in range(len(batch_means))]
    mean = sum(loss * size for loss, size in zip(batch_means, sizes, strict=True)) / count
    assert report_loss(mean, count, batch_size) == pytest.approx(sum(batch_means) / count, rel=1e-12)


def test_log_of_a_real_run_equals_its_metrics(tmp_path: Path) -> None:
    log = LogFile(96, 50, 32, 25)
    log.begin(run_info(tmp_path))
    training = trained(small("data.train_size=96", "data.test_batch_size=25", "trainer.epochs=1"), log)
    log.end({"status": "completed", "error": None})
    losses, metrics = training.batch_losses[0].double(), training.history[0]
    correct = round(metrics["train_accuracy"] * 96), round(metrics["test_accuracy"] * 50)
    assert lines(tmp_path)[1:-1] == [
        f"Train Epoch: 0 [0/96 (0%)]\tLoss: {losses[0]:.6f}",
        f"Train Epoch: 0 [32/96 (33%)]\tLoss: {losses[1]:.6f}",
        f"Train Epoch: 0 [64/96 (67%)]\tLoss: {losses[2]:.6f}",
        f"Train set: Average loss: {losses.sum() / 96:.4f}, Accuracy: {correct[0]}/96 ({correct[0] / 0.96:.2f}%)"
        f"  (mean per image: {losses.mean():.6f})",
        f"Test set: Average loss: {metrics['test_loss'] / 25:.4f}, Accuracy: {correct[1]}/50 ({correct[1] / 0.5:.2f}%)"
        f"  (mean per image: {metrics['test_loss']:.6f})",
    ]
