"""Creates a W&B workspace and report for the runs of sweeps. Needs the extra `.[wandb-view]`.

Runs are selected by their group, which is the sweep's name. Charts use the metrics stored on W&B; the report's tables
are those of `mnist_resnet.comparing`.
"""

from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from mnist_resnet.comparing.factors import is_group, varying_factors
from mnist_resnet.comparing.frame import jobs_frame
from mnist_resnet.comparing.job import Job
from mnist_resnet.comparing.report import Report
from mnist_resnet.comparing.reported import metric_of, summarised
from mnist_resnet.config.levels import level_text
from mnist_resnet.config.metric import Metric, is_image_classifier
from mnist_resnet.errors import UsageError, wording
from mnist_resnet.tracking import wandb_mode, wandb_run

if TYPE_CHECKING:
    import pandas as pd

LOSSES = ("test_loss", "train_loss")
"""Metrics of the image classifier that get a chart beside those that tables show."""


def save_view(jobs: Sequence[Job], report: Report, by: Sequence[str] | None = None) -> list[str]:
    """Create a workspace and a report of the jobs on W&B, and return the address of each.

    Args:
        jobs: jobs of one or several sweeps, all tracked in one W&B project.
        report: the comparison whose tables are copied into the W&B report.
        by: factors to group the curves by; None for all factors that vary.

    Raises:
        UsageError: wandb-workspaces is not installed, no API key is configured, the jobs are not all in one W&B
            project, or W&B rejects the request.
    """
    project, entity = _project(jobs)
    if find_spec("wandb_workspaces") is None:
        raise UsageError("--wandb needs wandb-workspaces: pip install 'mnist-resnet[wandb-view]'")
    wandb_mode.quieten()
    import wandb

    if not wandb.setup().settings.api_key:
        raise UsageError("--wandb needs a W&B account: run `wandb login`, or set WANDB_API_KEY")
    frame = jobs_frame(jobs)
    keys = config_keys(frame, list(by) if by is not None else varying_factors(frame))
    try:
        entity = entity or wandb.Api().default_entity
        axis = _axis(jobs)
        panels = _panels(keys, charted_metrics(frame), axis)
        views = (
            _workspace(entity, project, jobs, keys, panels, axis),
            _report(entity, project, jobs, keys, panels, report),
        )
        return [str(view.save().url) for view in views]
    except Exception as error:
        # Any error of the network or the service reaches the user as one line.
        raise UsageError(
            f"--wandb: W&B rejected the workspace or report ({wording(error, wandb_mode.MAX_REASON)})"
        ) from error


def config_keys(frame: "pd.DataFrame", factors: Sequence[str]) -> list[str]:
    """Return the config keys that tell the levels of these factors apart on W&B.

    A run's W&B config holds the resolved config but not the chosen option of each group. For a group such as `model`,
    the keys are those below it that vary.

    Args:
        frame: one row for each job, as `jobs_frame` returns it.
        factors: names of the factors.
    """
    keys: list[str] = []
    for factor in factors:
        below = [column for column in frame if str(column).startswith(f"{factor}.")]
        varied = [str(column) for column in below if frame[column].map(level_text).nunique() > 1]
        keys += varied if is_group(factor) or factor == "sweep" else [factor]
    return [key for key in dict.fromkeys(keys) if not key.startswith("sweep.")]


def _project(jobs: Sequence[Job]) -> tuple[str, str | None]:
    """Return the W&B project and entity of the jobs."""
    projects = {(tracking["project"], tracking.get("entity")) for job in jobs if (tracking := _tracking(job))}
    if len(projects) != 1:
        problem = "no job was tracked by W&B" if not projects else "the jobs were tracked in several projects"
        raise UsageError(f"--wandb: {problem}; it needs sweeps of one project, tracked with tracking=wandb")
    project, entity = projects.pop()
    settings = wandb_mode.user_settings()
    return wandb_run.project_and_group(project, None)[0], entity or settings.entity


def _tracking(job: Job) -> dict[str, Any]:
    tracking = job.config.get("tracking")
    several = tracking.get("trackers") if isinstance(tracking, dict) else None
    trackers = [tracking, *(several.values() if isinstance(several, dict) else [])]
    return next((tracker for tracker in trackers if isinstance(tracker, dict) and "project" in tracker), {})


def _sweeps(jobs: Sequence[Job]) -> list[str]:
    return list(dict.fromkeys(job.sweep for job in jobs if job.sweep))


def _filters(jobs: Sequence[Job]) -> str:
    users_group = wandb_mode.user_settings().run_group
    groups = [*map(wandb_run.short_name, _sweeps(jobs)), *([users_group] if users_group else [])]
    names = ", ".join("'" + str(name).replace("'", "\\'") + "'" for name in groups)
    return f"Metric('group') in [{names}]" if names else ""


def charted_metrics(frame: "pd.DataFrame") -> list[Metric]:
    """Return the metrics that get a curve each: those that the jobs report, the one that tables show first at the top.

    Args:
        frame: one row for each job, as `jobs_frame` returns it.
    """
    losses = [name for name in LOSSES if name in frame.attrs["metrics"]]
    return [metric_of(frame, name) for name in dict.fromkeys([*summarised(frame), *losses])]


def _axis(jobs: Sequence[Job]) -> str:
    return "epoch" if any(is_image_classifier(job.config) for job in jobs) else "step"


def _panels(keys: Sequence[str], metrics: Sequence[Metric], axis: str) -> list[Any]:
    import wandb_workspaces.reports.v2 as wr

    grouped = {"groupby": wr.Config(keys[0]), "groupby_aggfunc": "mean", "groupby_rangefunc": "stddev"} if keys else {}
    curves = [
        wr.LinePlot(title=metric.name, x=axis, y=[metric.name], log_y=metric.scale == "positive", **grouped)
        for metric in metrics
    ]
    if not metrics:
        return curves
    decisive = metrics[0]
    summary = f"best/{decisive.name}" if decisive.pick == "best" else decisive.name
    columns = [wr.ParallelCoordinatesPlotColumn(wr.Config(key)) for key in keys]
    columns.append(wr.ParallelCoordinatesPlotColumn(wr.SummaryMetric(summary)))
    return [
        *curves,
        wr.ParallelCoordinatesPlot(title=f"Factors and {decisive.label}", columns=columns),
        wr.ParameterImportancePlot(with_respect_to=summary),
    ]


def _workspace(
    entity: str | None, project: str, jobs: Sequence[Job], keys: Sequence[str], panels: list[Any], axis: str
) -> Any:
    import wandb_workspaces.workspaces as ws

    return ws.Workspace(
        entity=entity or "",
        project=project,
        name=", ".join(_sweeps(jobs)) or "single runs",
        sections=[ws.Section(name="Sweep", panels=panels, is_open=True)],
        settings=ws.WorkspaceSettings(x_axis=axis),
        runset_settings=ws.RunsetSettings(filters=_filters(jobs), groupby=[ws.Config(key) for key in keys]),
    )


def _report(
    entity: str | None, project: str, jobs: Sequence[Job], keys: Sequence[str], panels: list[Any], report: Report
) -> Any:
    import wandb_workspaces.reports.v2 as wr

    runset = wr.Runset(entity or "", project, filters=_filters(jobs), groupby=[f"config.{key}" for key in keys])
    return wr.Report(
        project=project,
        entity=entity or "",
        title=report.title,
        blocks=[wr.PanelGrid(runsets=[runset], panels=panels), wr.MarkdownBlock(report.markdown())],
    )
