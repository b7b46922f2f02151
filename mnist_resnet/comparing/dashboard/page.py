"""Renders the page: template, styles, scripts, plotting library and data in one file."""

import base64
import gzip
import html
import json
import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from mnist_resnet.comparing.dashboard.page_data import page_data
from mnist_resnet.comparing.dashboard.static_view import static_view
from mnist_resnet.job_folder import write_atomically

SCRIPTS = (
    "data.js",
    "filter.js",
    "element.js",
    "plot.js",
    "marks.js",
    "header.js",
    "table.js",
    "picked.js",
    "results.js",
    "spread.js",
    "curves.js",
    "explore.js",
    "search.js",
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
        "static": static_view(data),
        "style": _template("page.css"),
        "plotly": _packed_plotly(),
        "data": as_json(data),
        "scripts": "\n".join(f"<script>\n{_template(name)}</script>" for name in SCRIPTS),
    }
    # a single pass, so that placeholder names inside the data are not replaced
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], _template("page.html"))


def as_json(data: Any) -> str:
    """Return `data` as JSON that is safe in a `<script>` element: without `<`, and null for numbers not finite."""
    return _dumped(data).replace("<", "\\u003c")


def _dumped(value: Any) -> str:
    try:
        return json.dumps(value, separators=(",", ":"), allow_nan=False)
    except ValueError:  # somewhere in it is a number that is not finite
        if isinstance(value, dict):
            return f"{{{','.join(f'{json.dumps(str(key))}:{_dumped(content)}' for key, content in value.items())}}}"
        return f"[{','.join(map(_dumped, value))}]" if isinstance(value, (list, tuple)) else "null"


@cache
def _packed_plotly() -> str:
    """Return the plotting library, gzip in base64: a third of its size; the page unpacks it before its first plot."""
    library = (files(__package__) / "plotly" / "plotly-cartesian.min.js").read_bytes()
    return base64.b64encode(gzip.compress(library, mtime=0)).decode()


@cache
def _template(name: str) -> str:
    return (files(__package__) / "template" / name).read_text(encoding="utf-8")
