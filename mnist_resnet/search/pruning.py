"""A callback that reports a trial's epochs to the study and prunes the trial."""

from typing import Any

from optuna.trial import Trial

from mnist_resnet.job_folder import Metrics
from mnist_resnet.tracking.callback import Pruned, RunInfo


class PruningCallback:
    """Reports the objective at the end of each epoch. Optuna's step is the number of completed epochs.

    Args:
        trial: The trial to report to.
        metric: Metric of the objective, as in `metrics.jsonl`.
    """

    def __init__(self, trial: Trial, metric: str) -> None:
        self._trial, self._metric = trial, metric
        self._reported: set[int] = set()
        self._epochs = 0

    def begin(self, run: RunInfo) -> None:
        """Report epochs of earlier attempts that the study does not have yet."""
        self._epochs = run.epochs
        self._reported = set(self._trial.storage.get_trial(self._trial._trial_id).intermediate_values)
        for metrics in run.history:
            self._report(metrics)

    def batch(self, epoch: int, step: int, loss: float, accuracy: float) -> None:
        """Do nothing: trials are judged by their epochs."""

    def epoch(self, metrics: Metrics) -> None:
        """Report the epoch.

        Raises:
            Pruned: The pruner stops the trial.
        """
        self._report(metrics)
        completed = int(metrics["epoch"]) + 1
        if completed < self._epochs and self._trial.should_prune():
            value = f"{self._metric} {metrics[self._metric]:.4f}"
            raise Pruned(f"after epoch {completed - 1}, by comparison with the other trials ({value})")

    def end(self, result: dict[str, Any]) -> None:
        """Do nothing: the next process that reads the trial's job folder records its result in the study."""

    def _report(self, metrics: Metrics) -> None:
        completed = int(metrics["epoch"]) + 1
        if completed not in self._reported and self._metric in metrics:
            self._reported.add(completed)
            self._trial.report(metrics[self._metric], completed)
