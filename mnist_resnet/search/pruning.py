"""The observer that tells the study of a trial's epochs, and ends the trial where the pruner says so."""

from typing import Any

from optuna.trial import Trial

from mnist_resnet.job_folder import Metrics
from mnist_resnet.tracking.callback import Pruned, RunInfo


class Pruning:
    """Reports the objective at each epoch's end, counted in epochs done.

    Args:
        trial: to report to.
        metric: the objective's, as `metrics.jsonl` names it.
    """

    def __init__(self, trial: Trial, metric: str) -> None:
        self._trial, self._metric = trial, metric
        self._reported: set[int] = set()
        self._epochs = 0

    def begin(self, run: RunInfo) -> None:
        """Report what earlier attempts did, as far as the study does not have it."""
        self._epochs = run.epochs
        self._reported = set(self._trial.storage.get_trial(self._trial._trial_id).intermediate_values)
        for metrics in run.history:
            self._report(metrics)

    def batch(self, epoch: int, step: int, loss: float, accuracy: float) -> None:
        """Nothing: a trial is judged by its epochs."""

    def epoch(self, metrics: Metrics) -> None:
        """Report the epoch.

        Raises:
            Pruned: the trial is not worth going on with.
        """
        self._report(metrics)
        done = int(metrics["epoch"]) + 1
        if done < self._epochs and self._trial.should_prune():
            raise Pruned(f"after epoch {done - 1}, by the trials so far ({self._metric} {metrics[self._metric]:.4f})")

    def end(self, result: dict[str, Any]) -> None:
        """Nothing: the trial's end is told by whoever next looks at its job folder."""

    def _report(self, metrics: Metrics) -> None:
        done = int(metrics["epoch"]) + 1
        if done not in self._reported and self._metric in metrics:
            self._reported.add(done)
            self._trial.report(metrics[self._metric], done)
