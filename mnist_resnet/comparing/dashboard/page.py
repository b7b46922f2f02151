"""Renders the page: template, styles, scripts, plotting library and data in one file."""

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

from mnist_resnet.comparing.dashboard.page_data import page_data
from mnist_resnet.job_folder import write_atomically

SCRIPTS = (
    "data.js",
    "element.js",
    "plot.js",
    "header.js",
    "table.js",
    "results.js",
    "curves.js",
    "parallel.js",
    "mistakes.js",
    "sweeps.js",
    "run.js",
    "start.js",
)
"""The page's scripts in load order."""


def write_dashboard(folders: Sequence[Path], output: Path) -> None:
    """Write the page on these sweep folders (or job folders) to `output`, atomically.

    This is safe while a sweep runs: whatever is missing or broken in a folder becomes a remark on the page.
    """
    write_atomically(output, render(page_data(folders)).encode(errors="replace"))


def render(data: dict[str, Any]) -> str:
    """Return the page as HTML that shows `data` (see `page_data`)."""
    parts = {
        "title": html.escape(str(data["title"])),
        "style": _template("page.css"),
        "plotly": get_plotlyjs(),
        "data": as_json(data),
        "scripts": "\n".join(f"<script>\n{_template(name)}</script>" for name in SCRIPTS),
    }
    # a single pass, so that placeholder names inside the data are not replaced
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], _template("page.html"))


def as_json(data: Any) -> str:
    """Return `data` as JSON that is safe in a `<script>` element: without `<`, and null for numbers not finite."""
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
