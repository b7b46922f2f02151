"""The W&B run of a whole sweep, which holds the sweep's table, dashboard and figures."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from mnist_resnet.errors import wording
from mnist_resnet.tracking import wandb_files, wandb_run
from mnist_resnet.tracking.wandb_mode import MAX_REASON, warn_once

PAGES = (".html",)
PICTURES = (".png", ".jpg", ".jpeg")


def log_summary_run(
    sweep_folder: Path,
    name: str,
    *,
    project: str | None,
    entity: str | None,
    mode: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    files: Sequence[Path] = (),
    timeout: float = 30.0,
) -> None:
    """Log a sweep's table and files to a W&B run of its own, replacing the sweep's earlier summary run.

    Never raises: a failure is logged as one warning.

    Args:
        sweep_folder: the sweep folder; the W&B files are written to its `wandb/`.
        name: the sweep's name, which is the group of its jobs' W&B runs.
        project: W&B's project or None, the same as for the jobs.
        entity: W&B's user or team, the same as for the jobs.
        mode: `auto`, `online` or `offline`, the same as for the jobs.
        columns: the table's column names.
        rows: the table's cells, one sequence for each job. A cell that is not a number, text, bool or None is logged
            as text.
        files: pages (.html) and pictures (.png, .jpg, .jpeg) are shown on W&B; others are attached to the run; missing
            ones are skipped.
        timeout: seconds that W&B's server may take at the run's start, and again at its end.
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
            _log_content(opened, columns, rows, [file for file in files if file.is_file()])
            # The superseded run duplicates the sweep folder, and its copy of the dashboard is the largest file there.
            shutil.rmtree(sweep_folder / "wandb" / wandb_files.SUPERSEDED, ignore_errors=True)
    except Exception as error:
        warn_once(f"W&B has no table of this sweep ({wording(error, MAX_REASON)})")


def _log_content(
    opened: wandb_run.OpenRun, columns: Sequence[str], rows: Sequence[Sequence[Any]], files: Sequence[Path]
) -> None:
    try:
        opened.run.log({"table": _table(columns, rows), **_media(files)})
        for file in files:
            if file.suffix.lower() not in PAGES + PICTURES:
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
    # A column may mix numbers with text or None, for a job that failed.
    return wandb.Table(columns=list(columns), data=cells, allow_mixed_types=True)


def _media(files: Sequence[Path]) -> dict[str, Any]:
    import wandb

    media: dict[str, Any] = {}
    for file in files:
        if file.suffix.lower() in PAGES:
            media[file.stem] = wandb.Html(str(file), inject=False)
        elif file.suffix.lower() in PICTURES:
            media[file.stem] = wandb.Image(str(file))
    return media
