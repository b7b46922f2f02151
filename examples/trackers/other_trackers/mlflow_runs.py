"""A tracker for MLflow."""

import os
from typing import Any

from mlflow import MlflowClient

from mnist_resnet.config.signature import flatten
from mnist_resnet.job_folder import Metrics
from mnist_resnet.tracking.callback import RunInfo, Tracker


class MLflow(Tracker):
    """Mirrors each job as an MLflow run, in an experiment named after its sweep; all attempts share the run."""

    def __init__(self, uri: str | None = None) -> None:
        """Take MLflow's address; None for `MLFLOW_TRACKING_URI`, or `mlflow.db` in the working directory."""
        self._client = MlflowClient(uri or os.environ.get("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db"))

    def begin(self, run: RunInfo) -> None:
        """Start the job's run, or find that of an earlier attempt."""
        client, name = self._client, run.group or "single runs"
        experiment = client.get_experiment_by_name(name)
        number = experiment.experiment_id if experiment else client.create_experiment(name)
        known = client.search_runs([number], f"tags.job = '{run.id}'")
        self._run = (known or [client.create_run(number, tags={"job": run.id}, run_name=run.name)])[0].info.run_id
        for key, value in {} if known else flatten(run.config).items():
            client.log_param(self._run, key, value)

    def epoch(self, metrics: Metrics) -> None:
        """Log the epoch's metrics."""
        for name, value in metrics.items():
            step = int(metrics.get("epoch", metrics.get("step", 0)))
            self._client.log_metric(self._run, name, float(value), step=step)

    def end(self, result: dict[str, Any]) -> None:
        """End the run."""
        self._client.set_terminated(self._run, "FINISHED" if result["status"] == "completed" else "FAILED")
