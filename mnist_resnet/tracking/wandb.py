"""Trackers: observers that mirror a job elsewhere. W&B mirrors what the job folder says; nothing is ever read back.

No failure of a tracker reaches the job: the first one is logged as a warning, and the tracker falls silent.
"""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from mnist_resnet.config.signature import flatten
from mnist_resnet.job_folder import DASHBOARD, FIGURES, Metrics, Status
from mnist_resnet.tracking import wandb_files, wandb_run
from mnist_resnet.tracking.callback import Run
from mnist_resnet.tracking.wandb_mode import one_line, warn_once

if TYPE_CHECKING:
    import pandas

FINE = (Status.COMPLETED, Status.PRUNED, Status.INTERRUPTED)
"""Ends that W&B shows as finished; the others as failed."""

LONGEST_TAG = 64
"""Characters; W&B's service refuses a run with a longer one."""

PICTURES = (".png", ".jpg", ".jpeg")


class NoTracker:
    """Tracks nothing, imports nothing; takes the keys of `WandbTracker`, so that overrides of those are no error."""

    def __init__(
        self, mode: str = "auto", project: str = "mnist-resnet", entity: str | None = None, timeout: float = 30.0
    ) -> None:
        pass

    def begin(self, run: Run) -> None:
        """Does nothing."""

    def batch(self, epoch: int, step: int, loss: float, accuracy: float) -> None:
        """Does nothing."""

    def epoch(self, metrics: Metrics) -> None:
        """Does nothing."""

    def end(self, result: dict[str, Any]) -> None:
        """Does nothing."""

    def sweep_ended(self, folder: Path, table: "pandas.DataFrame") -> None:
        """Does nothing."""

    def hint(self, folder: Path) -> None:
        """Nothing is to be done."""


class WandbTracker:
    """Makes each job a W&B run of its own, and the attempts of one job one run.

    Its step is the optimiser step since the job's start, from 0. An epoch's metrics stand at the epoch's last step; W&B
    draws them against `epoch`, and `batch_loss` against `global_step`.
    """

    def __init__(
        self, mode: str = "auto", project: str = "mnist-resnet", entity: str | None = None, timeout: float = 30.0
    ) -> None:
        """Remember where runs go; nothing is begun, or imported, before `begin`.

        Args:
            mode: `auto` (online if an API key is configured and the server answers), `online` or `offline`.
            project: W&B's project.
            entity: W&B's user or team; None: the user's default.
            timeout: seconds that W&B's server may keep a job waiting at its start, and again at its end.
        """
        self.mode = mode
        self.project = project
        self.entity = entity
        self.timeout = timeout
        self._opened: wandb_run.OpenRun | None = None
        self._steps_per_epoch = 0
        self._defined: set[str] = set()

    def begin(self, run: Run) -> None:
        """Begin the job's run, and log again what earlier attempts did, as far as W&B has not got it."""
        self._guarded(self._begin, run)

    def batch(self, epoch: int, step: int, loss: float, accuracy: float) -> None:  # noqa: ARG002
        """Log one batch's loss; the accuracy so far is for screens, the epoch's own comes with its metrics."""
        if self._opened is not None:
            self._guarded(self._log_batch, epoch * self._steps_per_epoch + step, loss)

    def epoch(self, metrics: Metrics) -> None:
        """Log one epoch's metrics; its batches must have come before."""
        if self._opened is not None:
            self._guarded(self._log_epoch, metrics)

    def end(self, result: dict[str, Any]) -> None:
        """Write the summary, and end the run: as failed if the job failed or diverged."""
        if self._opened is not None:
            self._guarded(self._end, result)

    def sweep_ended(self, folder: Path, table: "pandas.DataFrame") -> None:
        """Give the sweep a summary run with its table and dashboard."""
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
        """The `wandb sync` line that uploads what lies there offline; else where on W&B it is to be seen."""
        command = wandb_files.sync_command(folder)
        if command:
            return f"upload to W&B: {command}"
        address = wandb_run.addresses.get(folder.resolve())
        return f"on W&B: {address}" if address else None

    def _guarded(self, deed: Callable[..., None], *told: Any) -> None:
        try:
            deed(*told)
        except Exception as error:
            warn_once(f"W&B failed; the job goes on without it ({one_line(error)})")
            opened, self._opened = self._opened, None
            if opened is not None:
                wandb_run.abandon(opened)

    def _begin(self, run: Run) -> None:
        self._steps_per_epoch = run.steps_per_epoch
        self._defined = set()
        self._opened = wandb_run.open_run(
            run.folder,
            self.mode,
            self.timeout,
            id=run.id,
            name=run.name,
            project=self.project,
            entity=self.entity,
            group=run.group,
            job_type="train",
            tags=[tag[:LONGEST_TAG] for tag in run.tags if tag],
            config=run.config,
        )
        if self._opened is not None:
            _restore_locked(self._opened.run.config, run.config)
            self._opened.run.define_metric("batch_loss", step_metric="global_step")
            self._log_again(run)

    def _log_again(self, run: Run) -> None:
        batches = iter(sorted(run.batch_losses))
        batch = next(batches, None)
        for metrics in run.history:
            while batch is not None and batch[0] <= self._last_step(metrics):
                self._log_batch(*batch)
                batch = next(batches, None)
            self._log_epoch(metrics)
        while batch is not None:
            self._log_batch(*batch)
            batch = next(batches, None)

    def _last_step(self, metrics: Metrics) -> int:
        return (int(metrics["epoch"]) + 1) * self._steps_per_epoch - 1

    def _log_batch(self, global_step: int, loss: float) -> None:
        assert self._opened is not None
        self._opened.log({"batch_loss": loss}, global_step)

    def _log_epoch(self, metrics: Metrics) -> None:
        assert self._opened is not None
        for name in metrics.keys() - self._defined - {"epoch"}:
            self._opened.run.define_metric(name, step_metric="epoch")
        self._defined |= metrics.keys()
        self._opened.log(metrics, self._last_step(metrics), commit=True)

    def _end(self, result: dict[str, Any]) -> None:
        assert self._opened is not None
        opened, self._opened = self._opened, None
        opened.run.summary.update(_summary(result))
        wandb_run.finish(opened, exit_code=0 if result.get("status") in FINE else 1)


def _restore_locked(shown: Any, config: dict[str, Any]) -> None:
    """Show under dotted keys the groups of `config` that a W&B sweep put the names of its choices in the place of.

    Its agent starts `train.py model=stem3x3`, and locks the run's `model` as that text (tried, wandb 0.31).
    """
    for key, value in config.items():
        if isinstance(value, dict) and not isinstance(shown.get(key), dict):
            shown.update(flatten(value, f"{key}."))


def _summary(result: dict[str, Any]) -> dict[str, Any]:
    kept = ("status", "epochs_completed", "seconds", "images_per_second", "attempt")
    summary = {name: result[name] for name in kept if result.get(name) is not None}
    if "status" in summary:
        # W&B writes the names of enums, result.json their values.
        summary["status"] = str(summary["status"])
    for which in ("last", "best"):
        summary |= {f"{which}/{name}": value for name, value in (result.get(which) or {}).items()}
    if result.get("error"):
        summary["error"] = str(result["error"].get("message", ""))
    return summary


def log_summary_run(
    sweep_folder: Path,
    name: str,
    *,
    project: str,
    entity: str | None,
    mode: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    files: Sequence[Path] = (),
    timeout: float = 30.0,
) -> None:
    """Give a sweep its own W&B run, which holds its table, and pages and pictures; replaces the one given before.

    Never raises: a failure is one warning.

    Args:
        sweep_folder: where the run's files go, in `wandb/`.
        name: of the sweep: the group of its jobs' runs.
        project: as of the jobs.
        entity: as of the jobs.
        mode: as of the jobs.
        columns: the table's headings.
        rows: the table's cells, one sequence a job; what is no number, text, truth value or None is put as text.
        files: shown where W&B can (.html, .png, .jpg), else kept with the run; missing ones are left out.
        timeout: as of the jobs.
    """
    try:
        opened = wandb_run.open_run(
            sweep_folder,
            mode,
            timeout,
            id=wandb_files.earlier_id(sweep_folder) or uuid4().hex[:16],
            name=f"{name}: table",
            project=project,
            entity=entity,
            group=name,
            job_type="summary",
        )
        if opened is not None:
            _fill_summary_run(opened, columns, rows, [file for file in files if file.is_file()])
            # It holds nothing that the sweep folder does not, and its copy of the dashboard is the largest file there.
            shutil.rmtree(sweep_folder / "wandb" / wandb_files.SUPERSEDED, ignore_errors=True)
    except Exception as error:
        warn_once(f"W&B has no table of this sweep ({one_line(error)})")


def _fill_summary_run(
    opened: wandb_run.OpenRun, columns: Sequence[str], rows: Sequence[Sequence[Any]], files: Sequence[Path]
) -> None:
    try:
        opened.run.log({"table": _table(columns, rows), **_media(files)})
        for file in files:
            if file.suffix.lower() not in (".html", *PICTURES):
                opened.run.save(str(file), base_path=str(file.parent), policy="now")
    except Exception:
        wandb_run.abandon(opened)
        raise
    wandb_run.finish(opened, exit_code=0)


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Any:
    import wandb

    cells: list[Any] = [
        [cell if isinstance(cell, bool | int | float | str | None) else str(cell) for cell in row] for row in rows
    ]
    # A column may hold numbers and, for a job that failed, text or nothing.
    return wandb.Table(columns=list(columns), data=cells, allow_mixed_types=True)


def _media(files: Sequence[Path]) -> dict[str, Any]:
    import wandb

    media: dict[str, Any] = {}
    for file in files:
        if file.suffix.lower() == ".html":
            media[file.stem] = wandb.Html(str(file), inject=False)
        elif file.suffix.lower() in PICTURES:
            media[file.stem] = wandb.Image(str(file))
    return media
