"""The same view on W&B, made by code: a workspace and a report for the runs of a sweep. An extra: `.[wandb-view]`.

Runs are found by their group, the sweep's name, and drawn from their own metrics; the report's tables are ours.
"""

from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from mnist_resnet.comparing.factors import is_choice, varying
from mnist_resnet.comparing.frame import Job, jobs_frame, level_text
from mnist_resnet.comparing.report import Report
from mnist_resnet.errors import UsageError
from mnist_resnet.tracking import wandb_mode

if TYPE_CHECKING:
    import pandas as pd

METRIC = "test_accuracy"
"""Judged by parallel coordinates and parameter importance, from each run's summary."""

CURVES = ("test_accuracy", "train_accuracy", "test_loss", "train_loss")


def save_view(jobs: Sequence[Job], report: Report, by: Sequence[str] | None = None) -> list[str]:
    """Make a workspace and a report of these jobs on W&B, and return the address of each.

    Args:
        jobs: of one or several sweeps that were tracked in one W&B project.
        report: whose tables are copied.
        by: factors to group the curves by, in place of all that vary.

    Raises:
        UsageError: wandb-workspaces is not installed, no key is configured, there is nothing to show, or W&B refuses.
    """
    project, entity = _place(jobs)
    if find_spec("wandb_workspaces") is None:
        raise UsageError("--wandb needs wandb-workspaces: pip install 'mnist-resnet[wandb-view]'")
    wandb_mode.quieten()
    import wandb

    if not wandb.setup().settings.api_key:
        raise UsageError("--wandb needs a W&B account: run `wandb login`, or set WANDB_API_KEY")
    frame = jobs_frame(jobs)
    keys = config_keys(frame, list(by) if by is not None else varying(frame))
    try:
        entity = entity or wandb.Api().default_entity
        saved = [_workspace(entity, project, jobs, keys).save(), _report(entity, project, jobs, keys, report).save()]
        return [str(view.url) for view in saved]
    except Exception as error:
        # whatever the network or the service says reaches the user as one line
        raise UsageError(f"--wandb: W&B did not take it ({type(error).__name__}: {str(error)[:200]})") from error


def config_keys(frame: "pd.DataFrame", factors: Sequence[str]) -> list[str]:
    """The config keys by which W&B can tell the levels of these factors apart.

    A run's W&B config holds the resolved config and not the groups' choices: for `model`, take what varies below it.
    """
    keys: list[str] = []
    for factor in factors:
        below = [column for column in frame if str(column).startswith(f"{factor}.")]
        varied = [str(column) for column in below if frame[column].map(level_text).nunique() > 1]
        keys += varied if is_choice(factor) or factor == "sweep" else [factor]
    return [key for key in dict.fromkeys(keys) if not key.startswith("sweep.")]


def _place(jobs: Sequence[Job]) -> tuple[str, str | None]:
    places = {(tracking.get("project"), tracking.get("entity")) for job in jobs if (tracking := _tracking(job))}
    if len(places) != 1:
        told = "no job was tracked by W&B" if not places else "the jobs were tracked in several projects"
        raise UsageError(f"--wandb: {told}; it takes sweeps of one project, tracked with tracking=wandb")
    project, entity = places.pop()
    return str(project), entity if isinstance(entity, str) else None


def _tracking(job: Job) -> dict[str, Any]:
    tracking = job.config.get("tracking")
    return tracking if isinstance(tracking, dict) and tracking.get("project") else {}


def _sweeps(jobs: Sequence[Job]) -> list[str]:
    return list(dict.fromkeys(job.sweep for job in jobs if job.sweep))


def _filters(jobs: Sequence[Job]) -> str:
    names = ", ".join("'" + name.replace("'", "\\'") + "'" for name in _sweeps(jobs))
    return f"Metric('group') in [{names}]" if names else ""


def _panels(keys: Sequence[str]) -> list[Any]:
    import wandb_workspaces.reports.v2 as wr

    grouped = {"groupby": wr.Config(keys[0]), "groupby_aggfunc": "mean", "groupby_rangefunc": "stddev"} if keys else {}
    columns = [wr.ParallelCoordinatesPlotColumn(wr.Config(key)) for key in keys]
    columns.append(wr.ParallelCoordinatesPlotColumn(wr.SummaryMetric(METRIC)))
    return [
        *(wr.LinePlot(title=curve, x="epoch", y=[curve], log_y=curve.endswith("loss"), **grouped) for curve in CURVES),
        wr.ParallelCoordinatesPlot(title="Factors and test accuracy", columns=columns),
        wr.ParameterImportancePlot(with_respect_to=METRIC),
    ]


def _workspace(entity: str | None, project: str, jobs: Sequence[Job], keys: Sequence[str]) -> Any:
    import wandb_workspaces.workspaces as ws

    return ws.Workspace(
        entity=entity or "",
        project=project,
        name=", ".join(_sweeps(jobs)) or "single runs",
        sections=[ws.Section(name="Sweep", panels=_panels(keys), is_open=True)],
        settings=ws.WorkspaceSettings(x_axis="epoch"),
        runset_settings=ws.RunsetSettings(filters=_filters(jobs), groupby=[ws.Config(key) for key in keys]),
    )


def _report(entity: str | None, project: str, jobs: Sequence[Job], keys: Sequence[str], report: Report) -> Any:
    import wandb_workspaces.reports.v2 as wr

    runset = wr.Runset(entity or "", project, filters=_filters(jobs), groupby=[f"config.{key}" for key in keys])
    return wr.Report(
        project=project,
        entity=entity or "",
        title=report.title,
        blocks=[wr.PanelGrid(runsets=[runset], panels=_panels(keys)), wr.MarkdownBlock(report.markdown())],
    )
