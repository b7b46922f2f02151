"""Report sections on effects: of one change at a time, and of factors and their interactions."""

from collections.abc import Sequence

import pandas as pd

from mnist_resnet.comparing.cells import format_change, p_text
from mnist_resnet.comparing.changes import BASE_NAMES, changes
from mnist_resnet.comparing.effect_family import MAX_INTERACTIONS, MAX_LEVELS, effect_family
from mnist_resnet.comparing.effects import SMALLEST_SHARE, Conclusion, Effect, undecided_text
from mnist_resnet.comparing.methods import Method
from mnist_resnet.comparing.report import ABSENT, Section
from mnist_resnet.comparing.reported import metric_of
from mnist_resnet.comparing.significance import LEVEL
from mnist_resnet.config.levels import ABSENT as ABSENT_LEVEL
from mnist_resnet.config.levels import level_text, levels_text
from mnist_resnet.config.metric import BUILT_IN, Metric

DEFAULT_MARGIN = f"{SMALLEST_SHARE:.0%} of the first level's mean (of its error rate, for accuracies)".replace(
    "%", " %"
)
"""The smallest difference of interest, if `--smallest-effect` does not set another."""

ONE_BY_ONE = "One change at a time"
"""Title of the section on single changes."""

NOTHING_TESTED = "None of these changes is tested: that takes two seeds or more whose changes differ (seed=1,2,3)."
"""Said instead of what the words mean, where no effect has a p value."""

CUT_TEXT = (
    " Intervals are cut at what is possible: from the mean seen at the first level (of an interaction: from the sum of "
    "both effects), no error rate falls below 0 or exceeds 100 %, and no loss or time falls below 0."
)
"""Said where an interval is cut."""


def effects_section(
    frame: pd.DataFrame,
    metric: str,
    by: Sequence[str] | None = None,
    margin: float | None = None,
    one_by_one: bool = False,
) -> Section | None:
    """Return the effects of single factors and the interactions of two; None if no factor varies.

    `one_by_one` says that `changes_section` lists every change already, in each combination of the other factors.
    """
    family = effect_family(frame, metric, by, margin, one_by_one)
    if not family.alone:
        return None
    found, listed = [effect for effect in [*family.alone, *family.together] if effect.seeds], family.listed
    lines = [effects_text(metric_of(frame, metric)), words_text(listed, margin)] if listed else []
    lines += _cells_lines(found) + _undetermined(family.alone)
    if one_by_one and any(effect.seeds for effect in family.alone):
        lines.append(f"Each change that can be told is under “{ONE_BY_ONE}”.")
    lines += [
        f"Jobs that lack {factor}, which newer code records, have no part in its effect ({lacking})."
        for factor in family.factors
        if (lacking := int((frame[factor].map(level_text) == ABSENT_LEVEL).sum()))
    ]
    lines += [f"{factor} has more than {MAX_LEVELS} levels and is left out." for factor in family.many_levels]
    lines += [f"{factor} was searched over an interval, and has no levels to compare." for factor in family.intervals]
    if family.crowded:
        lines.append(f"Interactions are left out, since there are more than {MAX_INTERACTIONS} ({family.crowded}).")
    methods = _effect_methods(listed, list(filter(_is_cell_by_cell, found)))
    return Section("Effects", lines, pd.DataFrame(_effect_rows(listed), dtype=object), methods)


def changes_section(frame: pd.DataFrame, metric: str, margin: float | None = None) -> Section | None:
    """Return the changes of one factor at a time, with their effect on the training time; None without changes."""
    found = changes(frame, metric, margin)
    if not found:
        return None
    bases = dict.fromkeys((change.base, levels_text(change.levels)) for change in found)
    lines = [f"{BASE_NAMES[base]} is {levels}." for base, levels in bases]
    lines += [
        effects_text(metric_of(frame, metric)),
        words_text([change.metric for change in found], margin),
        "Training seconds are those of the steps alone, without evaluation and start-up.",
    ]
    rows = []
    for change, row in zip(found, _effect_rows([change.metric for change in found]), strict=True):
        seconds = change.seconds
        if seconds.seeds:
            interval = ABSENT if seconds.low != seconds.low else f"{seconds.low:+.3g} to {seconds.high:+.3g}"
            row |= {"training, s": f"{seconds.mean:+.3g}", "its 95 % interval": interval}
        rows.append({"from": BASE_NAMES[change.base]} | row)
    methods = _effect_methods([change.metric for change in found])
    return Section(ONE_BY_ONE, lines, pd.DataFrame(rows, dtype=object).fillna(ABSENT), methods)


def _effect_methods(listed: Sequence[Effect], cell_by_cell: Sequence[Effect] = ()) -> list[Method]:
    is_used = {
        Method.EFFECTS: any(effect.seeds for effect in listed),
        Method.TESTED_EFFECTS: any(effect.p == effect.p for effect in listed),
        Method.TESTED_CELLS: any(effect.heterogeneity == effect.heterogeneity for effect in [*listed, *cell_by_cell]),
    }
    return [method for method, used in is_used.items() if used]


def _is_cell_by_cell(effect: Effect) -> bool:
    """Return whether an effect is listed in each combination of the other factors, or would have to be."""
    return bool(effect.within) and not effect.is_average


def _undetermined(found: Sequence[Effect]) -> list[str]:
    """Return a line for each change that no pair of jobs shows; one for a factor none of whose changes has a pair."""
    determined = {effect.factors for effect in found if effect.seeds}
    lines = []
    for effect in found:
        if effect.left_out and not effect.seeds:
            lines.append(f"{_change_text(effect)}: no pair completed ({effect.left_out} planned).")
        elif not effect.seeds:
            name = _change_text(effect) if effect.factors in determined else effect.factors[0]
            lines.append(f"No two jobs differ in {name} alone: its effect can't be determined.")
    return list(dict.fromkeys(lines))


def _cells_lines(found: Sequence[Effect]) -> list[str]:
    """Return a line for each effect that is listed cell by cell, or would have to be, with the test of its cells."""
    lines = []
    for effect in filter(_is_cell_by_cell, found):
        # untested, the largest part without gaps has a single combination, or a single seed
        test = f"no test, since they have {'one seed' if effect.cells > 1 else 'too few seeds'} in common"
        if effect.heterogeneity == effect.heterogeneity:
            test = f"p {p_text(effect.heterogeneity, equals='= ')}"
        elif effect.unjudged:
            test = "no test, since all seeds show exactly the same differences between them"
        why = "they differ" if effect.is_mixed or effect.unjudged else "the design has holes"
        lines.append(
            f"{_change_text(effect)} is known in {len(effect.within)} combinations of the other factors; "
            f"equal in all of them: {test}. Since {why}, no average over them is an effect."
        )
    return lines


def effects_text(metric: Metric) -> str:
    """Return what an effect is and how its interval comes about."""
    what, data = f"{metric.pick} {metric.title}", ""
    if metric.counts_errors:
        what = f"{metric.pick} {metric.error} rate in percentage points"
    if metric.name in BUILT_IN:
        what, data = what.replace("last ", "last epoch's ", 1), ", for these test images"
    return (
        f"Change of the {what}, paired by seed and by the other factors' levels, averaged within each seed; 95 % "
        f"interval over seeds (paired t){data}."
    )


def words_text(listed: Sequence[Effect], margin: float | None) -> str:
    """Return what the words beside the effects mean."""
    size = f"{_unsigned(listed[0].metric, margin)} (--smallest-effect)" if margin is not None else DEFAULT_MARGIN
    count = sum(effect.p == effect.p for effect in listed)
    if not count:
        return NOTHING_TESTED
    return (
        f"Shown: corrected p below {LEVEL:.2g}, by Holm's method for the number of tests in this table ({count}). "
        f"No difference: none larger than the smallest one of interest, {size}, by two one-sided t tests, corrected "
        "likewise. Undecided: neither; the number of seeds is what finds a difference of that size in four of five "
        f"studies, at the spread seen here and at the strictest step of the correction (p below {LEVEL:.2g} / {count})."
        + CUT_TEXT
        * any(effect.is_cut for effect in listed)
    )


def _change_text(effect: Effect) -> str:
    return " × ".join(
        f"{factor}: {level_text(levels[0])} → {level_text(levels[1])}"
        for factor, levels in zip(effect.factors, effect.levels, strict=True)
    )


def _effect_rows(found: Sequence[Effect]) -> list[dict[str, str]]:
    has_where = any(effect.where for effect in found)
    has_cells = any(effect.heterogeneity == effect.heterogeneity for effect in found)
    return [_effect_row(effect, has_where, has_cells) for effect in found]


def _effect_row(effect: Effect, has_where: bool, has_cells: bool) -> dict[str, str]:
    interval = f"{format_change(effect.metric, effect.low)} to {format_change(effect.metric, effect.high)}"
    return {
        "change": _change_text(effect),
        **({"where": levels_text(effect.where) or "everywhere"} if has_where else {}),
        "effect": format_change(effect.metric, effect.mean) if effect.seeds else ABSENT,
        "95 % interval": ABSENT if effect.low != effect.low else interval,
        "p": p_text(effect.p),
        "corrected p": p_text(effect.adjusted),
        "seeds": str(effect.seeds),
        "pairs": f"{effect.seeds * effect.cells}" + (f" ({effect.left_out} left out)" if effect.left_out else ""),
        **({"cells differ, p": p_text(effect.heterogeneity)} if has_cells else {}),
        "": conclusion_text(effect),
    }


def conclusion_text(effect: Effect) -> str:
    """Return the word on an effect, with the size that it excludes or the seeds that it would take."""
    size = _unsigned(effect.metric, effect.margin)
    if effect.conclusion == Conclusion.EQUIVALENT:
        return f"no difference larger than {size}"
    if effect.conclusion == Conclusion.SMALL:
        return f"shown, but smaller than {size}"
    if effect.conclusion == Conclusion.UNDECIDED:
        return f"undecided ({undecided_text(effect, size)})"
    if not effect.seeds:
        return f"no pair completed ({effect.left_out} planned)"
    if effect.conclusion == Conclusion.NO_INTERVAL:
        return "no interval: one seed" if effect.seeds == 1 else "no interval: all seeds agree exactly"
    return str(effect.conclusion)


def _unsigned(metric: Metric, value: float) -> str:
    return f"{100 * value:.2g}" if metric.is_share else f"{value:.2g}"
