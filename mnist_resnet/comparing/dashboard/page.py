"""The page itself: a template, its styles and scripts, the plotting library and the data, in one file."""

import html
import json
import math
import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from plotly.offline import get_plotlyjs

from mnist_resnet.comparing.dashboard.content import content
from mnist_resnet.job_folder import write_atomically

SCRIPTS = (
    "data.js",
    "element.js",
    "plot.js",
    "header.js",
    "table.js",
    "judgement.js",
    "curves.js",
    "parallel.js",
    "mistakes.js",
    "sweeps.js",
    "run.js",
    "start.js",
)
"""The page's scripts, in the order in which they need each other."""


def write_dashboard(folders: Sequence[Path], output: Path) -> None:
    """Write the page about these sweep folders (or job folders) to `output`, in one stroke.

    A live sweep may be shown at any time, and again as it goes on: whatever is missing or broken in a folder becomes a
    remark on the page.
    """
    write_atomically(output, render(content(folders)).encode(errors="replace"))


def render(data: dict[str, Any]) -> str:
    """The page, as HTML, that shows `data` (see `content`)."""
    parts = {
        "title": html.escape(str(data["title"])),
        "style": _template("page.css"),
        "plotly": get_plotlyjs(),
        "data": as_json(data),
        "scripts": "\n".join(f"<script>\n{_template(name)}</script>" for name in SCRIPTS),
    }
    # one pass, so that a part which holds a placeholder's name stays as it is
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], _template("page.html"))


def as_json(data: Any) -> str:
    """`data` as JSON that may stand in a `<script>` element: without `<`, and null for what is no finite number."""
    return json.dumps(_finite(data), separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _finite(content) for key, content in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(content) for content in value]
    return value


@cache
def _template(name: str) -> str:
    return (files(__package__) / "template" / name).read_text(encoding="utf-8")
