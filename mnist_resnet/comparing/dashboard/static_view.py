"""The part of the page that needs no script: tables and pictures, which the live view replaces where scripts run.

A viewer with a strict Content-Security-Policy, such as a build server's, runs no script, and may refuse styles and
images too. So the pictures are SVG elements that are coloured by attributes.
"""

import html
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mnist_resnet.comparing.cells import format_metric
from mnist_resnet.comparing.report import ABSENT
from mnist_resnet.config.metric import BUILT_IN, Metric, named

MOST_ROWS = 300
"""Most rows of a table, and most rows or curves of a picture; `results.csv` holds all jobs."""
COLUMNS = ("test_accuracy", "best_test_accuracy", "val_accuracy", "train_accuracy", "seconds")
"""Measurements in the table of runs, if a run has them."""
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#b08a00")
"""Okabe and Ito's palette, as in page.css."""
GREY = "#808080"
"""Colour of curves that have none of their own, and of axes; it can be seen on white and on black."""
WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 720, 300, 60, 20, 40
"""Size and margins of the pictures, in pixels."""


def static_view(data: Mapping[str, Any]) -> str:
    """Return HTML without scripts and styles that shows the most important part of `data` (see `page_data`)."""
    statuses = ", ".join(f"{count} {status}" for status, count in data["statuses"].items())
    parts = [
        f"<h1>{_text(data['title'])}</h1>",
        f"<p>{len(data['jobs'])} runs: {_text(statuses)}. Written {_text(data['written'])}.</p>" if statuses else "",
        "<p>Scripts are off here, or forbidden: filters, details and mistakes are left out.</p>",
        *(f"<p>{_text(remark)}</p>" for remark in data["remarks"]),
        _runs(data),
        _curves(data),
        _claims(data["claims"]),
        _effects(data),
    ]
    return "\n".join(part for part in parts if part)


def _runs(data: Mapping[str, Any]) -> str:
    names = [*COLUMNS[:-1], *(metric["name"] for metric in data["metrics"]), COLUMNS[-1]]
    measured = [_metric(name, data) for name in names if any(job.get(name) is not None for job in data["jobs"])]
    keys = [factor["key"] for factor in data["factors"]]
    head = [*(keys or ["run"]), "status", *(metric.title for metric in measured)]
    rows = [
        [
            *(_levels(job, data["factors"]) or [job["name"]]),
            job["status"],
            *(format_metric(metric, job.get(metric.name)) for metric in measured),
        ]
        for job in data["jobs"]
    ]
    return _table("Runs", head, rows) if rows else ""


def _metric(name: str, data: Mapping[str, Any]) -> Metric:
    """Return a metric as jobs declare it, or one of the image classifier's."""
    for entry in data["metrics"]:
        if entry["name"] == name:
            return Metric(name, scale="share" if entry["share"] else "free", heading=entry["title"])
    return named(name)


def _claims(claims: Sequence[Mapping[str, Any]]) -> str:
    rows = [[claim["group"], claim["words"], str(claim["n"]), claim["verdict"]] for claim in claims]
    return _table("Claims against measurement", ["runs", "claim", "n", "verdict"], rows) if rows else ""


def _effects(data: Mapping[str, Any]) -> str:
    """Return a table and a picture of the effects on the first metric, or on its error."""
    unit = data["effect_unit"]
    listed = [("", effect) for effect in data["effects"]["alone"]]
    listed += [(f"{change['base']}: ", change["metric"]) for change in data["changes"]]
    named = [
        (f"{base}{effect['factors'][0]}: {' → '.join(effect['levels'][0])}{_where(effect)}", effect)
        for base, effect in listed
        if _finite([effect["mean"]])
    ]
    if not named:
        return ""
    factor, form = unit["factor"], "+.3f" if unit["factor"] == 100 else "+.4g"
    rows = [[name, f"{factor * effect['mean']:{form}}", effect["conclusion"]] for name, effect in named]
    what = ", ".join(filter(None, [unit["what"], unit["unit"]]))
    table = _table("Effect of each factor", ["change", what, "conclusion"], rows)
    intervals = [(name, effect["mean"], effect["interval"]) for name, effect in named[:MOST_ROWS]]
    return f"{table}\n{_intervals(intervals, unit['what'])}"


def _where(effect: Mapping[str, Any]) -> str:
    return f" ({effect['where']})" if effect["where"] else ""


def _intervals(rows: Sequence[tuple[str, float, Sequence[float | None]]], what: str) -> str:
    """Return a picture of means with their intervals, one row each, against zero."""
    ends = [value for _, mean, interval in rows for value in (mean, *_finite(interval))]
    low, high = min(0.0, *ends), max(0.0, *ends)
    left, step = WIDTH * 5 // 8, 24

    def x(value: float) -> float:
        return left + (WIDTH - left - 20) * (value - low) / ((high - low) or 1)

    bottom = step * len(rows) + 8
    marks = [_line([(x(0), 0), (x(0), bottom)], GREY), _label(x(0), bottom + 16, "0", "middle")]
    for number, (name, mean, interval) in enumerate(rows):
        y = step * (number + 0.5) + 4
        marks.append(_label(left - 12, y + 4, name, "end"))
        marks.append(_line([(x(end), y) for end in (*_finite(interval), mean)], COLOURS[0]))
        marks.append(_dot(x(mean), y, COLOURS[0]))
    return _picture(f"Effects on the {what} with 95 % intervals", bottom + 24, marks)


def _curves(data: Mapping[str, Any]) -> str:
    """Return a picture of a metric by epoch, one curve a run, coloured by the levels of the first factor."""
    name, curves = next(iter(data["curves"].items()), ("", []))
    points = [
        (number, [(epoch, value) for epoch, value in enumerate(values) if value is not None])
        for number, values in enumerate(curves[:MOST_ROWS])
    ]
    heights = [value for _, curve in points for _, value in curve]
    if not heights:
        return ""
    last, low, high = max(map(len, curves)) - 1, min(heights), max(heights)

    def at(epoch: int, value: float) -> tuple[float, float]:
        right, down = epoch / last if last else 0.5, (high - value) / ((high - low) or 1)
        return LEFT + right * (WIDTH - LEFT - 20), TOP + down * (HEIGHT - TOP - BOTTOM)

    colours = [_colour(job, data["factors"]) for job in data["jobs"]]
    metric = _metric(name, data)
    marks = list(_axes(metric, (low, high), last, at))
    for number, curve in points:
        places = [at(*point) for point in curve]
        marks.append(_line(places, colours[number]) if len(places) > 1 else "")
        # A line of one point can't be seen.
        marks += [_dot(x, y, colours[number]) for x, y in (places if len(places) == 1 else ())]
    return f"<h2>Training curves</h2>\n{_picture(metric.title, HEIGHT, marks)}\n{_legend(data['factors'])}"


def _axes(metric: Metric, ends: tuple[float, float], last: int, at: Any) -> Iterator[str]:
    low, high = ends
    (first, bottom), (_, top) = at(0, low), at(0, high)
    left, right = LEFT, WIDTH - 20
    yield _line([(left, top), (left, bottom), (right, bottom)], GREY)
    yield from (_label(left - 6, at(0, value)[1] + 4, format_metric(metric, value), "end") for value in {low, high})
    yield _label(first, bottom + 18, f"{'epoch' if metric.name in BUILT_IN else 'report'} 0", "middle")
    yield _label(right, bottom + 18, str(last), "end") if last else ""
    yield _label(left, top - 8, metric.title, "start")


def _legend(factors: Sequence[Mapping[str, Any]]) -> str:
    if not _has_colours(factors):
        return ""
    levels = zip(factors[0]["levels"], COLOURS, strict=False)
    named = ", ".join(f'<font color="{colour}">{_text(level)}</font>' for level, colour in levels)
    return f"<p>{_text(factors[0]['key'])}: {named}</p>"


def _has_colours(factors: Sequence[Mapping[str, Any]]) -> bool:
    return bool(factors) and len(factors[0]["levels"]) <= len(COLOURS)


def _colour(job: Mapping[str, Any], factors: Sequence[Mapping[str, Any]]) -> str:
    return COLOURS[job["levels"][0]] if _has_colours(factors) else GREY


def _levels(job: Mapping[str, Any], factors: Sequence[Mapping[str, Any]]) -> list[str]:
    return [factor["levels"][level] for factor, level in zip(factors, job["levels"], strict=True)]


def _finite(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None and math.isfinite(value)]


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[str | None]]) -> str:
    """Return a table with its heading and, where it is cut, a line on what is left out."""
    heads = "".join(f'<th scope="col">{_text(cell)}</th>' for cell in head)
    body = "\n".join(f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in row)}</tr>" for row in rows[:MOST_ROWS])
    more = f"<p>and {len(rows) - MOST_ROWS} more</p>" if len(rows) > MOST_ROWS else ""
    table = f'<table cellpadding="3"><thead><tr>{heads}</tr></thead><tbody>\n{body}</tbody></table>'
    return f'<h2>{_text(title)}</h2>\n<div class="scroll">{table}</div>{more}'


def _picture(title: str, height: float, marks: Sequence[str]) -> str:
    size = f'width="{WIDTH}" height="{height:.0f}" viewBox="0 0 {WIDTH} {height:.0f}"'
    start = f'<svg {size} role="img" aria-label="{_text(title)}" font-family="sans-serif" font-size="12">'
    return f'<div class="scroll">{start}\n{"".join(marks)}</svg></div>'


def _line(points: Sequence[tuple[float, float]], colour: str) -> str:
    places = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{places}" fill="none" stroke="{colour}" stroke-width="1.5" stroke-linecap="round"/>\n'


def _dot(x: float, y: float, colour: str) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>\n'


def _label(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="currentColor">{_text(text)}</text>\n'


def _text(text: object) -> str:
    return ABSENT if text is None else html.escape(str(text))
