"""The main plots for a paper, as matplotlib figures: training curves, claims, effects. An extra: `.[plots]`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from mnist_resnet.comparing.changes import changes, short_names
from mnist_resnet.comparing.effects import Effect, effects
from mnist_resnet.comparing.factors import others, telling, varying
from mnist_resnet.comparing.frame import Job, epochs_frame, jobs_frame, level_text
from mnist_resnet.comparing.report import printable
from mnist_resnet.comparing.statistics import grouped, seeds_summary
from mnist_resnet.comparing.verdicts import Judgement, judgements
from mnist_resnet.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = "osD^"
"""Of the first ten groups in a plot of points, of the next ten, …"""

MOST_CURVES = 12
"""Groups in one plot of curves; beyond, no reader tells their colours apart."""


def write_figures(jobs: Sequence[Job], folder: Path, suffix: str, by: Sequence[str] | None = None) -> list[Path]:
    """Write `curves`, `claims` and `effects` of these jobs into `folder`, which is made if missing.

    Args:
        jobs: of one or several sweeps.
        folder: to write to.
        suffix: `png` or `svg`, or what else matplotlib can write.
        by: factors to draw, in place of all that vary.

    Returns:
        The files written: a plot that has nothing to show is left out.

    Raises:
        UsageError: matplotlib is not installed, or there is nothing to draw.
    """
    figures = draw(jobs, by)
    if not figures:
        raise UsageError("nothing to draw: no job has finished an epoch")
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, figure in figures.items():
        paths.append(folder / f"{name}.{suffix}")
        figure.savefig(paths[-1], dpi=200, bbox_inches="tight")
    return paths


def draw(jobs: Sequence[Job], by: Sequence[str] | None = None) -> Mapping[str, "Figure"]:
    """The plots by name, as matplotlib figures, for a notebook; those without anything to show are left out.

    Raises:
        UsageError: matplotlib is not installed.
    """
    frame = jobs_frame(jobs)
    factors = list(by) if by is not None else varying(frame)
    # an interval of nothing, or of one run, is no line to draw
    judged = [found for found in judgements(jobs) if found.measured.n > 1 and found.claim.value is not None]
    alone = [name for name in factors if name not in ("experiment", "sweep", "seed")]
    told = [found for name in alone for found in effects(frame, name, others(frame, name)) if found.low == found.low]
    figures = {}
    if any(job.metrics for job in jobs):
        figures["curves"] = curves(jobs, factors if by is not None else telling(frame))
    if judged:
        figures["claims"] = claims(judged)
    if frame["training_seconds"].notna().any():
        figures["times"] = times(frame, factors if by is not None else telling(frame))
    if told:
        figures["effects"] = effect_intervals(told)
    return figures


def curves(jobs: Sequence[Job], by: Sequence[str]) -> "Figure":
    """Test error against epoch on a log scale: the mean over each group, and between its lowest and highest job."""
    axes = _axes(6.0, 4.0)
    frame = epochs_frame(jobs)
    groups = grouped(frame, by)
    for levels, group in groups[:MOST_CURVES]:
        error = 100 * (1 - group.groupby("epoch")["test_accuracy"].agg(["mean", "max", "min"]))
        name = ", ".join(f"{key}={level_text(level)}" for key, level in zip(by, levels, strict=True)) or "all jobs"
        line = axes.plot(error.index, error["mean"], label=_plain(name))[0]
        axes.fill_between(error.index, error["max"], error["min"], alpha=0.2, color=line.get_color(), linewidth=0)
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

    if (frame["test_accuracy"] < 1).any():  # a logarithm of no error at all there is not
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    left_out = f" ({len(groups) - MOST_CURVES} further groups left out)" if len(groups) > MOST_CURVES else ""
    axes.set(xlabel="epoch", ylabel="test error, %", title=f"Mean and range of each group{left_out}")
    axes.legend(fontsize="small")
    return _figure(axes)


def times(frame: pd.DataFrame, by: Sequence[str]) -> "Figure":
    """Test accuracy against seconds of training: each group's mean, with its 95 % intervals both ways."""
    axes = _axes(7.0, 4.5)
    short = short_names(changes(frame, "test_accuracy"))
    summary = seeds_summary(frame, by, ["test_accuracy", "training_seconds"])
    told = summary[summary["test_accuracy_mean"].notna() & summary["training_seconds_mean"].notna()]
    for number, (_, row) in enumerate(told.iterrows()):
        levels = {key: level_text(row[key]) for key in by}
        whole = ", ".join(f"{key}={level}" for key, level in levels.items()) or "all jobs"
        name = short.get(tuple(levels.values()), whole)
        across = [[row["training_seconds_mean"] - row[f"training_seconds_{end}"]] for end in ("low", "high")]
        up = [[100 * (row["test_accuracy_mean"] - row[f"test_accuracy_{end}"])] for end in ("low", "high")]
        axes.errorbar(
            row["training_seconds_mean"],
            100 * row["test_accuracy_mean"],
            xerr=[across[0], [-across[1][0]]] if row["n"] > 1 else None,
            yerr=[up[0], [-up[1][0]]] if row["n"] > 1 else None,
            fmt=MARKERS[number // 10 % len(MARKERS)],
            color=f"C{number % 10}",
            label=_plain(f"{name}: {whole}" if len(name) == 1 else name),
            capsize=2,
        )
    from matplotlib.ticker import LogLocator, NullLocator

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set(xlabel="training, seconds", ylabel="test accuracy, %", title="Mean of each group with its 95 % intervals")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize="x-small", loc="upper left", bbox_to_anchor=(1.01, 1.0))
    return _figure(axes)


def claims(judged: Sequence[Judgement]) -> "Figure":
    """Each claim (a cross) with the runs (dots), their mean's interval and, thinner, that of one further run."""
    axes = _axes(6.5, 0.6 + 0.45 * len(judged))
    for row, found in enumerate(judged):
        factor = 100.0 if found.claim.accuracy else 1.0
        runs = found.measured
        axes.plot([factor * runs.prediction_low, factor * runs.prediction_high], [row, row], "C0-", linewidth=1)
        axes.plot([factor * runs.low, factor * runs.high], [row, row], "C0-", linewidth=4, alpha=0.5)
        axes.plot([factor * value for value in runs.values], [row] * runs.n, "C0o", markersize=4)
        axes.plot([factor * (found.claim.value or 0.0)], [row], "C3x", markersize=9, markeredgewidth=2)
    names = [f"{found.group}, {found.claim.epoch} {found.claim.metric}: {found.verdict}" for found in judged]
    _rows(axes, names)
    axes.set(xlabel="accuracy, %", title="Claimed ×, runs •, 95 % intervals: mean, one further run")
    axes.title.set_fontsize("small")
    return _figure(axes)


def effect_intervals(found: Sequence[Effect]) -> "Figure":
    """The change of test error that each factor makes by itself, with its 95 % interval."""
    axes = _axes(6.0, 0.6 + 0.4 * len(found))
    for row, effect in enumerate(found):
        axes.plot([100 * effect.low, 100 * effect.high], [row, row], "C0-" if effect.shown else "C7-", linewidth=2)
        axes.plot([100 * effect.mean], [row], "C0o" if effect.shown else "C7o")
    axes.axvline(0, color="black", linewidth=0.8)
    _rows(axes, [f"{e.factors[0]}: {level_text(e.levels[0][0])} → {level_text(e.levels[0][1])}" for e in found])
    axes.set(xlabel="change of test error, percentage points", title="Effects; grey: not shown")
    return _figure(axes)


def _rows(axes: "Axes", names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), [_plain(name) for name in names], fontsize="small")
    axes.set_ylim(len(names) - 0.5, -0.5)


def _plain(text: str) -> str:
    # a dollar sign in a name would start a formula
    return printable(text).replace("$", r"\$")


def _axes(width: float, height: float) -> "Axes":
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise UsageError("figures need matplotlib: pip install 'mnist-resnet[plots]'") from None
    # without pyplot, no window and no global state
    return Figure(figsize=(width, height)).subplots()


def _figure(axes: "Axes") -> "Figure":
    figure = axes.get_figure(root=True)
    assert figure is not None
    return figure
