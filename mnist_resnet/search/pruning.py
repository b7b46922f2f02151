"""A callback that reports a trial's epochs to the study and prunes the trial."""

from typing import Any

from optuna.trial import Trial

from mnist_resnet.config.metric import Metric
from mnist_resnet.job_folder import Metrics
from mnist_resnet.tracking.callback import Pruned, RunInfo


class PruningCallback:
    """Reports the objective at the end of each epoch. Optuna's step is the number of completed epochs, or of reports.

    Args:
        trial: The trial to report to.
        metric: Metric of the objective, as in `metrics.jsonl`.
    """

    def __init__(self, trial: Trial, metric: Metric) -> None:
        self._trial, self._metric = trial, metric
        self._reported: set[int] = set()
        self._epochs: int | None = None
        self._completed = 0

    def begin(self, run: RunInfo) -> None:
        """Report epochs of earlier attempts that the study does not have yet."""
        self._epochs, self._completed = run.epochs, 0
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
        name = self._metric.name
        if name in metrics and self._completed != self._epochs and self._trial.should_prune():
            when = f"epoch {metrics['epoch']:g}" if "epoch" in metrics else f"step {metrics['step']:g}"
            raise Pruned(f"after {when}, by comparison with the other trials ({name} {metrics[name]:.4f})")

    def end(self, result: dict[str, Any]) -> None:
        """Do nothing: the next process that reads the trial's job folder records its result in the study."""

    def _report(self, metrics: Metrics) -> None:
        self._completed += 1
        if self._completed not in self._reported and self._metric.name in metrics:
            self._reported.add(self._completed)
            self._trial.report(metrics[self._metric.name], self._completed)
