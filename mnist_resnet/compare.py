"""Compare jobs: `python -m mnist_resnet.compare SWEEP_DIR… [--by FACTOR…] [--format …]`."""

import argparse
import sys
from collections.abc import Sequence
from io import StringIO, TextIOWrapper
from pathlib import Path

from rich.console import Console

from mnist_resnet.comparing.job import Job
from mnist_resnet.comparing.job_reader import load_jobs
from mnist_resnet.comparing.report import Report
from mnist_resnet.comparing.table import DEFAULT_METRICS, sweep_report
from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import DASHBOARD, FIGURES, UnreadableFolder, write_atomically

FORMATS = ("rich", "markdown", "csv", "latex", "html", "png", "svg")

"""Folder for png and svg inside the first folder, unless `--output` says otherwise."""

WIDTH = 200
"""Columns of a table that goes to no terminal, and that must not be cut to the 80 of one."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status: 2 for bad input, told in one line."""
    parser = _parser()
    chosen = parser.parse_args(arguments)
    if isinstance(sys.stdout, TextIOWrapper):
        # a terminal that can't show a dash, or a name from elsewhere, gets a question mark and the rest
        sys.stdout.reconfigure(errors="replace")
    try:
        run(chosen)
    except (UsageError, UnreadableFolder) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {error.filename or 'output'}: {error.strerror or error}", file=sys.stderr)
        return 2
    return 0


def run(chosen: argparse.Namespace) -> None:
    """Compare as the command line asks.

    Raises:
        UsageError: a factor, metric, job or folder that is not there.
        OSError: the output can't be written.
    """
    folders: list[Path] = chosen.folders
    missing = [folder for folder in folders if not folder.exists()]
    if missing:
        raise UsageError(f"{missing[0]}: no such folder; give a sweep's folder, such as multirun/NAME")
    if chosen.format == "html":
        _dashboard(folders, chosen.output)
        return
    jobs, remarks = load_jobs(folders)
    if chosen.format in ("png", "svg"):
        _figures(jobs, chosen)
        return
    pair = (chosen.pair[0], chosen.pair[1]) if chosen.pair else None
    report = sweep_report(jobs, remarks, chosen.by, chosen.metric or DEFAULT_METRICS, pair)
    if chosen.wandb:
        _wandb(jobs, report, chosen.by)
        return
    if chosen.format == "csv":
        print(*remarks, sep="\n", end="\n" if remarks else "", file=sys.stderr)
        _put(report.jobs.to_csv(index=False), chosen.output)
    elif chosen.format == "rich":
        _show(report, chosen.output)
    else:
        _put(report.markdown() if chosen.format == "markdown" else report.latex(), chosen.output)


def _show(report: Report, output: Path | None) -> None:
    if output is None:
        Console(width=None if sys.stdout.isatty() else WIDTH).print(report)
        return
    console = Console(file=StringIO(), width=WIDTH, record=True)
    console.print(report)
    write_atomically(output, console.export_text())


def _figures(jobs: Sequence[Job], chosen: argparse.Namespace) -> None:
    from mnist_resnet.comparing.figures import write_figures

    for path in write_figures(jobs, chosen.output or chosen.folders[0] / FIGURES, chosen.format, chosen.by):
        print(path)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m mnist_resnet.compare",
        description="Tables, statistics and verdicts on sweeps and single runs, finished or still running.",
    )
    parser.add_argument(
        "folders", nargs="+", type=Path, metavar="SWEEP_DIR", help="a sweep, a job, or a folder of them"
    )
    parser.add_argument("--by", nargs="+", metavar="FACTOR", help="group by these factors only, such as model optim.lr")
    parser.add_argument(
        "--metric", nargs="+", metavar="METRIC", help=f"metrics to summarise; default: {', '.join(DEFAULT_METRICS)}"
    )
    parser.add_argument("--format", choices=FORMATS, default="rich", help="rich is for the terminal; html a dashboard")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write there; a folder for png and svg")
    parser.add_argument("--wandb", action="store_true", help="make a workspace and a report on W&B instead")
    parser.add_argument(
        "--pair", nargs=2, metavar="SIDE", help="image by image: two jobs by name, or groups such as model=stem3x3"
    )
    return parser


def _dashboard(folders: Sequence[Path], output: Path | None) -> None:
    from mnist_resnet.comparing.dashboard import write_dashboard

    path = output or folders[0] / DASHBOARD
    write_dashboard(list(folders), path)
    print(path)


def _wandb(jobs: Sequence[Job], report: Report, by: Sequence[str] | None) -> None:
    from mnist_resnet.tracking.wandb_view import save_view

    for address in save_view(jobs, report, by):
        print(address)


def _put(text: str, output: Path | None) -> None:
    if output is None:
        sys.stdout.write(text)
    else:
        write_atomically(output, text)


if __name__ == "__main__":
    sys.exit(main())
