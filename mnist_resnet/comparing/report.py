"""A report of sections with text and tables, rendered for a terminal, as Markdown or as LaTeX."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain

import pandas as pd
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, JustifyMethod, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from mnist_resnet.comparing.methods import Method
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
        methods: what its figures come from, for the paragraph on methods.
    """

    title: str
    lines: Sequence[str] = ()
    table: pd.DataFrame = field(default_factory=pd.DataFrame)
    methods: Sequence[Method] = ()


@dataclass(frozen=True)
class Report:
    """The report on one or several sweeps; a rich console can print it.

    Attributes:
        title: one line.
        sections: in reading order.
        jobs: one row per job with raw values (accuracies as fractions of one).
        methods: a paragraph on methods, then its references; not shown on a terminal.
    """

    title: str
    sections: Sequence[Section]
    jobs: pd.DataFrame = field(default_factory=pd.DataFrame)
    methods: Sequence[str] = ()

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
        if self.methods:
            paragraph, *references = self.methods
            parts += ["## Methods", _markdown_text(paragraph)]
            parts += ["\n".join(f"- {_markdown_text(reference)}" for reference in references)] if references else []
        return "\n\n".join(parts) + "\n"

    def latex(self) -> str:
        r"""Return the tables as LaTeX and each line of text as a comment; needs `\usepackage{booktabs}`."""
        parts = [f"% {printable(self.title)}"]
        for section in self.sections:
            parts += [f"% {printable(text)}" for text in (section.title, *section.lines)]
            if len(section.table):
                parts.append(_latex_table(section.table))
        parts += [f"% {printable(text)}" for text in self.methods]
        return "\n".join(parts) + "\n"


def _rich(section: Section) -> list[RenderableType]:
    parts: list[RenderableType] = [Text(""), Text(printable(section.title), style="bold")]
    parts += [Text(printable(line)) for line in section.lines]
    if len(section.table):
        parts.append(_FittedTable(section.table))
    return parts


@dataclass(frozen=True)
class _FittedTable:
    """A table that breaks no word: on a narrow terminal, its columns follow in several tables, the first one in each.

    Attributes:
        table: cells as text.
    """

    table: pd.DataFrame

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        frame, names = self.table, [str(name) for name in self.table]
        tables = _fitting(names, [_longest_word(name, frame[name]) for name in names], options.max_width)
        if len(tables) > 1 and not frame[names[0]].is_unique:
            # what a row is about must be clear in every table
            frame = frame.assign(row=[str(number + 1) for number in range(len(frame))])
            names = ["row", *names]
            tables = _fitting(names, [_longest_word(name, frame[name]) for name in names], options.max_width)
        for number, columns in enumerate(tables):
            if number:
                yield Text("")
            yield _rich_table(frame[columns], options.max_width)


def _rich_table(cells: pd.DataFrame, room: int) -> Table:
    table = Table(box=None, pad_edge=False, header_style="italic")
    least = [min(room, _longest_word(name, cells[name])) for name in cells]
    wanted = [max(cell_len(printable(text)) for text in (name, *cells[name])) for name in cells]
    missing = sum(wanted) - sum(least)
    share = min(1.0, max(0, room - sum(least) - 2 * (len(least) - 1)) / missing) if missing else 0.0
    for name, low, full in zip(cells, least, wanted, strict=True):
        justify: JustifyMethod = "right" if _numeric(cells[name]) else "left"
        width = low + int(share * (full - low))
        table.add_column(Text(printable(name)), justify=justify, overflow="fold", width=width)
    for row in cells.itertuples(index=False):
        table.add_row(*(Text(printable(cell)) for cell in row))
    return table


def _longest_word(name: object, cells: "pd.Series[str]") -> int:
    return max((cell_len(word) for text in (name, *cells) for word in printable(text).split()), default=1)


def _fitting(names: list[str], widths: list[int], room: int) -> list[list[str]]:
    """Return the columns of each table so that each is at most `room` wide, two spaces between columns if possible."""
    tables, left = [[names[0]]], room - widths[0]
    for name, width in zip(names[1:], widths[1:], strict=True):
        if width + 2 > left and len(tables[-1]) > 1:
            tables.append([names[0]])
            left = room - widths[0]
        tables[-1].append(name)
        left -= width + 2
    return tables


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
