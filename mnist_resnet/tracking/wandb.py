"""The W&B tracker: mirrors each job as a W&B run. It only writes to W&B; the job folder stays the only record.

A failure in W&B never reaches the job: the first one is logged as a warning, and the job continues untracked.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnist_resnet.config.signature import flatten
from mnist_resnet.errors import wording
from mnist_resnet.job_folder import DASHBOARD, FIGURES, Metrics, Status
from mnist_resnet.tracking import wandb_files, wandb_mode, wandb_run
from mnist_resnet.tracking.callback import RunInfo
from mnist_resnet.tracking.wandb_metrics import MetricLogger
from mnist_resnet.tracking.wandb_mode import MAX_REASON, warn_once
from mnist_resnet.tracking.wandb_summary import log_summary_run

if TYPE_CHECKING:
    import pandas

FINISHED = (Status.COMPLETED, Status.PRUNED, Status.INTERRUPTED)
"""Statuses that W&B shows as finished; it shows all others as failed."""

MAX_TAG_LENGTH = 64
"""Characters; W&B's service rejects a run with a longer tag."""


class WandbTracker:
    """Mirrors each job as one W&B run; all attempts of a job share its run.

    W&B's step is the optimiser step since the job's start, from 0. An epoch's metrics are logged at the epoch's last
    step. W&B plots them against `epoch`, and `batch_loss` against `global_step`.
    """

    def __init__(
        self, mode: str = "auto", project: str | None = None, entity: str | None = None, timeout: float = 30.0
    ) -> None:
        """Store the settings; W&B is imported and the run started only in `begin`.

        Args:
            mode: `auto` (online if an API key is configured and the server answers), `online` or `offline`.
            project: W&B's project; None for the user's own setting (`WANDB_PROJECT`, `wandb init`) or `mnist-resnet`.
            entity: W&B's user or team; None for the user's own setting or default.
            timeout: seconds that W&B's server may delay a job at its start, and again at its end.
        """
        self.mode = mode
        self.project = project
        self.entity = entity
        self.timeout = timeout
        self._logger: MetricLogger | None = None

    def begin(self, run: RunInfo) -> None:
        """Start the job's W&B run, and log what earlier attempts did and W&B has not received yet."""
        self._guard(self._begin, run)

    def batch(self, epoch: int, step: int, loss: float, accuracy: float) -> None:  # noqa: ARG002
        """Log a batch's loss; the running `accuracy` is dropped, since the epoch's metrics hold the final one."""
        if self._logger is not None:
            self._guard(self._logger.log_batch, epoch, step, loss)

    def epoch(self, metrics: Metrics) -> None:
        """Log an epoch's metrics; all of its batches must have been logged before."""
        if self._logger is not None:
            self._guard(self._logger.log_epoch, metrics)

    def end(self, result: dict[str, Any]) -> None:
        """Write the run's summary and finish the run, as failed if the job failed or diverged."""
        if self._logger is not None:
            self._guard(self._end, result)

    def lost(self) -> None:
        """Leave the run to the process that has taken the job over."""
        if self._logger is not None:
            opened, self._logger = self._logger.open_run, None
            wandb_run.leave(opened)

    def sweep_ended(self, folder: Path, table: "pandas.DataFrame") -> None:
        """Log the sweep's summary run, with its table, dashboard and figures."""
        log_summary_run(
            folder,
            folder.name,
            project=self.project,
            entity=self.entity,
            mode=self.mode,
            columns=[str(column) for column in table.columns],
            rows=table.astype(object).where(table.notna(), None).values.tolist(),
            files=[folder / DASHBOARD, *sorted((folder / FIGURES).glob("*.png"))],
            timeout=self.timeout,
        )

    def hint(self, folder: Path) -> str | None:
        """Return the `wandb sync` command that uploads the folder's offline runs, or else its address on W&B."""
        command = wandb_files.sync_command(folder)
        if command:
            return f"upload to W&B: {command}"
        address = wandb_run.addresses.get(folder.resolve())
        return f"on W&B: {address}" if address else None

    def _guard(self, function: Callable[..., None], *arguments: Any) -> None:
        """Call `function`; if it fails, warn and track this job no further."""
        try:
            function(*arguments)
        except Exception as error:
            warn_once(f"W&B failed; the job continues without it ({wording(error, MAX_REASON)})")
            logger, self._logger = self._logger, None
            if logger is not None:
                wandb_run.abandon(logger.open_run)

    def _begin(self, run: RunInfo) -> None:
        settings = wandb_mode.user_settings()
        own_name = settings.run_name if run.group is None else None
        opened = wandb_run.open_run(
            run.folder,
            self.mode,
            self.timeout,
            id=run.id,
            name=own_name or run.name,
            project=self.project,
            entity=self.entity,
            group=run.group,
            job_type=settings.run_job_type or "train",
            tags=list(dict.fromkeys([*(tag[:MAX_TAG_LENGTH] for tag in run.tags if tag), *(settings.run_tags or ())])),
            config=run.config,
        )
        self._logger = None if opened is None else MetricLogger(opened, run.steps_per_epoch)
        if self._logger is not None:
            _restore_locked(self._logger.open_run.run.config, run.config)
            self._logger.replay(run.history, run.batch_losses)

    def _end(self, result: dict[str, Any]) -> None:
        assert self._logger is not None
        opened, self._logger = self._logger.open_run, None
        opened.run.summary.update(_summary(result))
        wandb_run.finish(opened, exit_code=0 if result.get("status") in FINISHED else 1)


def _restore_locked(logged: Any, config: dict[str, Any]) -> None:
    """Add to W&B's config the groups of `config` that a W&B sweep replaced by the names of their options.

    W&B's agent starts `train.py model=stem3x3` and locks the run's `model` to that text (observed with wandb 0.31), so
    the group's values are added under dotted keys.

    Args:
        logged: the W&B run's config, which is changed.
        config: the job's resolved config.
    """
    for key, value in config.items():
        if isinstance(value, dict) and not isinstance(logged.get(key), dict):
            logged.update(flatten(value, f"{key}."))


def _summary(result: dict[str, Any]) -> dict[str, Any]:
    keys = ("status", "epochs_completed", "seconds", "images_per_second", "attempt")
    summary = {name: result[name] for name in keys if result.get(name) is not None}
    if "status" in summary:
        # W&B would write the enum's name; result.json holds its value.
        summary["status"] = str(summary["status"])
    for which in ("last", "best"):
        summary |= {f"{which}/{name}": value for name, value in (result.get(which) or {}).items()}
    if result.get("error"):
        summary["error"] = str(result["error"].get("message", ""))
    return summary
