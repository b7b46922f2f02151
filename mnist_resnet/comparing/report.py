"""A report of sections with text and tables, rendered for a terminal, as Markdown or as LaTeX."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain

import pandas as pd
from rich.console import Group, JustifyMethod, RenderableType
from rich.table import Table
from rich.text import Text

from mnist_resnet.stored_file import printable

ABSENT = "–"
"""Shown in a cell without a value."""


@dataclass(frozen=True)
class Section:
    """A title, lines of text, and an optional table below them.

    Attributes:
        title: one line.
        lines: sentences, each on a line of its own.
        table: cells as text; empty for a section without a table.
    """

    title: str
    lines: Sequence[str] = ()
    table: pd.DataFrame = field(default_factory=pd.DataFrame)


@dataclass(frozen=True)
class Report:
    """The report on one or several sweeps; a rich console can print it.

    Attributes:
        title: one line.
        sections: in reading order.
        jobs: one row per job with raw values (accuracies as fractions of one).
    """

    title: str
    sections: Sequence[Section]
    jobs: pd.DataFrame = field(default_factory=pd.DataFrame)

    def __rich__(self) -> RenderableType:
        """Return the report for a terminal."""
        return Group(Text(printable(self.title), style="bold"), *chain.from_iterable(map(_rich, self.sections)))

    def markdown(self) -> str:
        """Return the report as Markdown."""
        parts = [f"# {_markdown_text(self.title)}"]
        for section in self.sections:
            parts.append(f"## {_markdown_text(section.title)}")
            parts += ["\n".join(f"- {_markdown_text(line)}" for line in section.lines)] if section.lines else []
            parts += [_markdown_table(section.table)] if len(section.table) else []
        return "\n\n".join(parts) + "\n"

    def latex(self) -> str:
        r"""Return the tables as LaTeX and each line of text as a comment; needs `\usepackage{booktabs}`."""
        parts = [f"% {printable(self.title)}"]
        for section in self.sections:
            parts += [f"% {printable(text)}" for text in (section.title, *section.lines)]
            if len(section.table):
                parts.append(_latex_table(section.table))
        return "\n".join(parts) + "\n"


def _rich(section: Section) -> list[RenderableType]:
    parts: list[RenderableType] = [Text(""), Text(printable(section.title), style="bold")]
    parts += [Text(printable(line)) for line in section.lines]
    if len(section.table):
        table = Table(box=None, pad_edge=False, header_style="italic")
        for column in section.table:
            justify: JustifyMethod = "right" if _numeric(section.table[column]) else "left"
            # on a narrow terminal, wrap long names rather than cut them off
            table.add_column(Text(printable(column)), justify=justify, overflow="fold")
        for row in section.table.itertuples(index=False):
            table.add_row(*(Text(printable(cell)) for cell in row))
        parts.append(table)
    return parts


def _numeric(column: "pd.Series[str]") -> bool:
    cells = [cell for cell in column.map(str) if cell not in ("", ABSENT)]
    return all(cell.lstrip("+-")[:1].isdigit() and " " not in cell for cell in cells)


def _markdown_text(text: object) -> str:
    cleaned = printable(text).replace("\\", "\\\\").replace("&", "&amp;").replace("<", "&lt;")
    # an underscore inside a word, as in block_norm, needs no escape
    return re.sub(r"[|*`\[]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\\g<0>", cleaned)


def _markdown_table(table: pd.DataFrame) -> str:
    rule = ["---:" if _numeric(table[column]) else "---" for column in table]
    rows = [[_markdown_text(cell) for cell in row] for row in [list(table), *table.itertuples(index=False)]]
    rows.insert(1, rule)
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _latex_table(table: pd.DataFrame) -> str:
    columns = "".join("r" if _numeric(table[column]) else "l" for column in table)
    cleaned = table.map(printable).rename(columns=printable)
    text = str(cleaned.to_latex(index=False, escape=True, column_format=columns))
    # after a row's end, LaTeX takes a bracket or a star for an argument of it
    return re.sub(r"^(?=[\[*])", "{}", text, flags=re.MULTILINE)
