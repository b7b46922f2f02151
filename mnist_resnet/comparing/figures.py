"""Plots for a paper as matplotlib figures: training curves, claims, times, effects. Needs the extra `.[plots]`."""

import io
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from mnist_resnet.comparing.changes import Change, changes, short_names
from mnist_resnet.comparing.effect_family import effect_family
from mnist_resnet.comparing.effects import Effect
from mnist_resnet.comparing.factors import distinguishing_factors
from mnist_resnet.comparing.frame import epochs_frame, jobs_frame
from mnist_resnet.comparing.job import Job
from mnist_resnet.comparing.reported import metric_of, summarised
from mnist_resnet.comparing.sources import judged_jobs
from mnist_resnet.comparing.statistics import grouped, grouped_rows, seeds_summary
from mnist_resnet.comparing.verdicts import Judgement, judgements
from mnist_resnet.config.levels import level_text, levels_text
from mnist_resnet.config.metric import BUILT_IN, Metric
from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import write_atomically
from mnist_resnet.stored_file import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#b08a00", "#5b636e", "#7a3e9d")
"""Okabe and Ito's palette, safe for all kinds of colour vision, as on the dashboard; its yellow is darkened."""

MARKERS = "osD^"
"""Markers in a plot of points: the first for the first eight groups, the second for the next eight, and so on."""

LINES = ("-", "--", ":")
"""Line styles in a plot of curves, likewise."""

MAX_CURVES = 12
"""Largest number of groups in one plot of curves; more colours can't be told apart."""

MOST_IN_FULL = 1_000
"""Largest ratio of the ends of an axis of times that has more marks than powers of ten."""

MAX_LABEL = 56
"""Most characters in a line of a label; longer ones are wrapped, or they would take most of the plot's width."""


def write_figures(jobs: Sequence[Job], folder: Path, suffix: str, by: Sequence[str] | None = None) -> list[Path]:
    """Write the plots `curves`, `claims`, `times` and `effects` into `folder`, which is created if missing.

    Args:
        jobs: jobs of one or several sweeps.
        folder: output folder.
        suffix: file format: `png`, `svg` or any other that matplotlib writes.
        by: factors to group by; all varying factors by default.

    Returns:
        The files written; a plot without content is left out.

    Raises:
        UsageError: matplotlib is not installed, or there is nothing to plot.
    """
    figures = draw(jobs, by)
    if not figures:
        raise UsageError("nothing to plot: no job has finished an epoch")
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, figure in figures.items():
        paths.append(folder / f"{name}.{suffix}")
        _save(figure, paths[-1])
    return paths


def _save(figure: "Figure", path: Path) -> None:
    """Write a figure so that the same figure gives the same file: no date, no random ids."""
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": path.stem}):
        metadata = {"Date": None} if path.suffix == ".svg" else None
        content = io.BytesIO()
        figure.savefig(content, format=path.suffix[1:], dpi=200, bbox_inches="tight", metadata=metadata)
    write_atomically(path, content.getvalue())


def draw(jobs: Sequence[Job], by: Sequence[str] | None = None) -> Mapping[str, "Figure"]:
    """Return the plots by name as matplotlib figures, for example for a notebook; plots without content are left out.

    Raises:
        UsageError: matplotlib is not installed.
    """
    independent = judged_jobs(jobs)
    frame = jobs_frame(independent)
    # one run has no interval to draw
    judged = [
        judgement
        for judgement in judgements(independent)
        if judgement.measured.n > 1 and judgement.claim.value is not None
    ]
    metric = next((name for name in summarised(frame) if frame[name].notna().any()), "seconds")
    groups = list(by) if by is not None else distinguishing_factors(frame)
    with_interval = [effect for effect in _listed_effects(frame, metric, by) if effect.low == effect.low]
    figures = {}
    if any(job.history.epochs for job in jobs):
        figures["curves"] = curves(jobs, groups, metric)
    if judged:
        figures["claims"] = claims(judged)
    timed = frame[(frame["status"] == "completed") & frame["training_seconds"].notna() & frame[metric].notna()]
    if len(timed) and len(grouped_rows(timed, groups)) > 1:
        figures["times"] = times(frame, groups, metric)
    if with_interval:
        figures["effects"] = effect_intervals(with_interval, metric_of(frame, metric))
    return figures


def _listed_effects(frame: pd.DataFrame, metric: str, by: Sequence[str] | None) -> list[Effect]:
    """Return the effects of single factors with the p values that the table shows."""
    found = changes(frame, metric) if by is None else []
    listed = effect_family(frame, metric, by).listed if not found else [_in_place(change) for change in found]
    return [effect for effect in listed if len(effect.factors) == 1]


def _in_place(change: Change) -> Effect:
    """Return a change's effect on the metric, with the levels that it starts from."""
    levels = {key: level_text(level) for key, level in change.levels.items() if key not in change.metric.factors}
    return replace(change.metric, where=levels)


def curves(jobs: Sequence[Job], by: Sequence[str], name: str = "test_accuracy") -> "Figure":
    """Plot a metric by epoch or step, or its error on a log scale: each group's mean, and the range of its jobs."""
    axes = _axes(6.0, 4.0)
    frame = epochs_frame(jobs)
    metric, step = metric_of(frame, name), "epoch" if "epoch" in frame else "step"
    if metric.counts_errors:
        label, frame["shown"] = f"{metric.error}, %", 100 * (1 - frame[name])
    else:
        label, frame["shown"] = metric.title, (100 if metric.is_share else 1) * frame[name]
    groups = grouped(frame, by)
    short = short_names(changes(jobs_frame(jobs), name)) if len(by) > 1 else {}
    for number, (levels, group) in enumerate(groups[:MAX_CURVES]):
        values = group.groupby(step)["shown"].agg(["mean", "max", "min"])
        texts = tuple(map(level_text, levels))
        named = ", ".join(f"{key}={level}" for key, level in zip(by, texts, strict=True)) or "all jobs"
        colour, style = COLOURS[number % len(COLOURS)], LINES[number // len(COLOURS) % len(LINES)]
        marker = "o" if len(values) == 1 else None  # a line of one point can't be seen
        label_text = _escape(short.get(texts, named))
        axes.plot(values.index, values["mean"], style, color=colour, marker=marker, label=label_text)
        axes.fill_between(values.index, values["min"], values["max"], alpha=0.2, color=colour, linewidth=0)
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

    if metric.counts_errors and (frame["shown"] > 0).any():  # the logarithm of zero error is undefined
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    left_out = f" ({len(groups) - MAX_CURVES} more left out)" if len(groups) > MAX_CURVES else ""
    title = "Each run" if all(group[step].is_unique for _, group in groups) else "Mean and range of each group"
    axes.set(xlabel=step, ylabel=label, title=title + left_out)
    _legend_outside(axes)
    return _figure(axes)


def times(frame: pd.DataFrame, by: Sequence[str], name: str = "test_accuracy") -> "Figure":
    """Plot a metric against seconds of training: each group's means with their 95 % intervals."""
    axes = _axes(7.0, 4.5)
    metric = metric_of(frame, name)
    factor = 100 if metric.is_share else 1
    short = short_names(changes(frame, name))
    summary = seeds_summary(frame, by, [name, "training_seconds"])
    complete = summary[summary[f"{name}_mean"].notna() & summary["training_seconds_mean"].notna()]
    processors = frame["processor"].nunique()
    for number, (_, row) in enumerate(complete.iterrows()):
        levels = {key: level_text(row[key]) for key in by}
        long_name = ", ".join(f"{key}={level}" for key, level in levels.items()) or "all jobs"
        group = short.get(tuple(levels.values()), long_name)
        x_errors = [[row["training_seconds_mean"] - row[f"training_seconds_{end}"]] for end in ("low", "high")]
        y_errors = [[factor * (row[f"{name}_mean"] - row[f"{name}_{end}"])] for end in ("low", "high")]
        axes.errorbar(
            row["training_seconds_mean"],
            factor * row[f"{name}_mean"],
            xerr=[x_errors[0], [-x_errors[1][0]]] if row["n"] > 1 and processors == 1 else None,
            yerr=[y_errors[0], [-y_errors[1][0]]] if row["n"] > 1 else None,
            fmt=MARKERS[number // len(COLOURS) % len(MARKERS)],
            color=COLOURS[number % len(COLOURS)],
            label=_escape(f"{group}: {long_name}" if len(group) == 1 else group),
            capsize=2,
        )
    from matplotlib.ticker import LogLocator, NullLocator

    axes.set_xscale("log")
    shortest, longest = axes.get_xlim()
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if longest < MOST_IN_FULL * shortest else (1,)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter("{x:g}")
    title = "Each run" if (complete["n"] == 1).all() else "Mean of each group with 95 % intervals"
    limit = f"\nTimes are on {processors} processors and can't be compared" if processors > 1 else ""
    axes.set(xlabel="training, seconds", ylabel=metric.title, title=title + limit)
    _legend_outside(axes)
    return _figure(axes)


def claims(judged: Sequence[Judgement]) -> "Figure":
    """Plot each claim (×), the runs (•), the interval of their mean (thick) and the prediction interval (thin)."""
    axes = _axes(6.5, 4.0)
    for row, judgement in enumerate(judged):
        factor = 100.0 if judgement.claim.metric.is_share else 1.0
        runs = judgement.measured
        axes.plot([factor * runs.prediction_low, factor * runs.prediction_high], [row, row], "C0-", linewidth=1)
        axes.plot([factor * runs.low, factor * runs.high], [row, row], "C0-", linewidth=4, alpha=0.5)
        axes.plot([factor * value for value in runs.values], [row] * runs.n, "C0o", markersize=4)
        axes.plot([factor * (judgement.claim.value or 0.0)], [row], "C3x", markersize=9, markeredgewidth=2)
    names = [f"{j.group}, {j.claim.epoch} {j.claim.metric.name}: {j.verdict_text}" for j in judged]
    _rows(axes, names)
    axes.set(
        xlabel=" or ".join(dict.fromkeys(map(_claimed_unit, judged))),
        title="Claimed ×, runs •, 95 % intervals: of the mean (thick), for one further run (thin)",
    )
    axes.title.set_fontsize("small")
    return _figure(axes)


def _claimed_unit(judgement: Judgement) -> str:
    metric = judgement.claim.metric
    return "accuracy, %" if metric.counts_errors else metric.title


def effect_intervals(found: Sequence[Effect], metric: Metric = BUILT_IN["test_accuracy"]) -> "Figure":
    """Plot each factor's effect on a metric, or on its error, with its 95 % interval."""
    factor = 100 if metric.is_share else 1
    what = metric.error if metric.counts_errors else metric.label
    axes = _axes(6.0, 4.0)
    for row, effect in enumerate(found):
        axes.plot(
            [factor * effect.low, factor * effect.high], [row, row], "C0-" if effect.significant else "C7-", linewidth=2
        )
        axes.plot([factor * effect.mean], [row], "C0o" if effect.significant else "C7o")
    axes.axvline(0, color="black", linewidth=0.8)
    _rows(axes, [_effect_name(effect) for effect in found])
    unit = ", percentage points" if metric.is_share else ""
    axes.set(xlabel=f"change of {what}{unit}", title="Effects; grey: not shown, corrected for number")
    return _figure(axes)


def _effect_name(effect: Effect) -> str:
    (before, after) = map(level_text, effect.levels[0])
    where = f", where {levels_text(effect.where)}" if effect.where else ""
    return f"{effect.factors[0]}: {before} → {after}{where}"


def _legend_outside(axes: "Axes") -> None:
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize="x-small", loc="upper left", bbox_to_anchor=(1.01, 1.0))


def _rows(axes: "Axes", names: Sequence[str]) -> None:
    """Name the rows of a plot, and make it as high as they need."""
    labels = [_escape(name) for name in names]
    most_lines = max((label.count("\n") + 1 for label in labels), default=1)
    _figure(axes).set_figheight(0.6 + len(names) * (0.28 + 0.15 * most_lines))
    axes.set_yticks(range(len(names)), labels, fontsize="small")
    axes.set_ylim(len(names) - 0.5, -0.5)


def _escape(text: str) -> str:
    """Return a label's text in lines of bounded length; a dollar sign would start a formula."""
    wrapped = textwrap.fill(printable(text), MAX_LABEL, break_long_words=False, break_on_hyphens=False)
    return wrapped.replace("$", r"\$")


def _axes(width: float, height: float) -> "Axes":
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise UsageError("plots need matplotlib: pip install 'mnist-resnet[plots]'") from None
    # without pyplot: no window, no global state
    return Figure(figsize=(width, height)).subplots()


def _figure(axes: "Axes") -> "Figure":
    figure = axes.get_figure(root=True)
    assert figure is not None
    return figure
