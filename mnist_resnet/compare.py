"""Compares jobs: `python -m mnist_resnet.compare SWEEP_DIR… [--by FACTOR…] [--format …]`."""

import argparse
import sys
from collections.abc import Sequence
from io import StringIO, TextIOWrapper
from pathlib import Path

from rich.console import Console

from mnist_resnet.comparing.frame import jobs_frame
from mnist_resnet.comparing.job import Job
from mnist_resnet.comparing.job_reader import load_jobs
from mnist_resnet.comparing.report import Report
from mnist_resnet.comparing.reported import metric_of, summarised
from mnist_resnet.comparing.table import sweep_report
from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import DASHBOARD, FIGURES, UnreadableFolder, write_atomically
from mnist_resnet.jobs.signals import interruptible

FORMATS = ("rich", "markdown", "csv", "latex", "html", "png", "svg")

PUBLISHED = "freeze.txt"
"""File in the top folder of a published record, and in no sweep's."""

TABLES = ("rich", "markdown", "latex")
"""Formats with the whole report: tables, statistics and verdicts."""

FORMAT_OF_SUFFIX = {
    ".csv": "csv",
    ".html": "html",
    ".md": "markdown",
    ".png": "png",
    ".svg": "svg",
    ".tex": "latex",
}
"""Format of an output file where `--format` is not given; any other name gets the terminal's tables."""

OPTION_APPLIES_TO = {
    "by": (*TABLES, "png", "svg"),
    "metric": TABLES,
    "pair": TABLES,
    "smallest_effect": TABLES,
}
"""Formats that each option changes; elsewhere it is an error, since nothing typed may be ignored."""

WIDTH = 200
"""Width in characters of a table that is not printed on a terminal; the default of 80 would cut it off."""


@interruptible
def main(arguments: Sequence[str] | None = None, program: str = "python -m mnist_resnet.compare") -> int:
    """Run the command and return its exit code: 2 for bad input, after one line on it."""
    if isinstance(sys.stdout, TextIOWrapper):
        # print a question mark for any character that the terminal can't show
        sys.stdout.reconfigure(errors="replace")
    try:
        options = _parser(program).parse_args(arguments)
        if options.format is None:
            options.format = FORMAT_OF_SUFFIX.get(options.output.suffix.lower(), "rich") if options.output else "rich"
        run(options)
    except (UsageError, UnreadableFolder) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {error.filename or 'output'}: {error.strerror or error}", file=sys.stderr)
        return 2
    return 0


def run(options: argparse.Namespace) -> None:
    """Write the comparison that the options describe.

    Raises:
        UsageError: a factor, metric, job or folder does not exist, or an option does not apply.
        OSError: the output can't be written.
    """
    _check_options(options)
    folders: list[Path] = options.folders
    if options.format == "html":
        _require_jobs(*load_jobs(folders), folders)
        _dashboard(folders, options.output)
        return
    jobs, remarks = load_jobs(folders)
    _require_jobs(jobs, remarks, folders)
    if options.format in ("png", "svg"):
        _figures(jobs, options)
        return
    pair = (options.pair[0], options.pair[1]) if options.pair else None
    report = sweep_report(jobs, remarks, options.by, options.metric, pair, _smallest_effect(options, jobs))
    if options.wandb:
        _wandb(jobs, report, options.by)
        return
    if options.format == "csv":
        print(*remarks, sep="\n", end="\n" if remarks else "", file=sys.stderr)
        _write(report.jobs.to_csv(index=False), options.output)
    elif options.format == "rich":
        _print(report, options.output)
    else:
        _write(report.markdown() if options.format == "markdown" else report.latex(), options.output)


def _smallest_effect(options: argparse.Namespace, jobs: Sequence[Job]) -> float | None:
    """Return the smallest difference of interest in the metric's own unit; percentage points become fractions."""
    size: float | None = options.smallest_effect
    if size is None:
        return None
    frame = jobs_frame(jobs)
    names = options.metric or summarised(frame)
    return size / 100 if names and metric_of(frame, names[0]).is_share else size


def _check_options(options: argparse.Namespace) -> None:
    for folder in options.folders:
        if not folder.exists():
            raise UsageError(f"{folder}: no such folder; give a sweep's folder, such as multirun/NAME")
        if not folder.is_dir():
            raise UsageError(f"{folder}: a file, not a folder; give the folder of a sweep or a job")
    for option, formats in OPTION_APPLIES_TO.items():
        if getattr(options, option) is not None and options.format not in formats:
            name = option.replace("_", "-")
            raise UsageError(f"--{name}: does not apply to --format {options.format}; it changes {', '.join(formats)}")
    if options.smallest_effect is not None and not 0 < options.smallest_effect < float("inf"):
        raise UsageError(f"--smallest-effect: {options.smallest_effect:g} is no size; give one above 0, such as 0.1")
    if options.wandb and (options.output is not None or options.format != "rich"):
        raise UsageError("--wandb: goes without --format and --output, since nothing is written here")
    _check_output(options)


def _check_output(options: argparse.Namespace) -> None:
    output: Path | None = options.output
    if output is None:
        if options.format in ("html", "png", "svg"):
            _check_own_folder(options)
        return
    if not output.resolve().parent.is_dir():
        raise UsageError(f"--output: there is no folder {output.resolve().parent}")
    if options.format not in ("png", "svg") and output.is_dir():
        raise UsageError(f"--output: {output} is a folder; give the name of a file")
    if options.format in ("png", "svg") and not output.is_dir() and output.suffix:
        raise UsageError(
            f"--output: {output} is the name of a file, but there are several figures; give the name of a folder"
        )


def _check_own_folder(options: argparse.Namespace) -> None:
    """Refuse to write into a folder what is not about that folder alone, or what a record does not hold."""
    first: Path = options.folders[0]
    kind = "FILE.html" if options.format == "html" else "FOLDER"
    if len(options.folders) > 1:
        raise UsageError(f"--output {kind} is needed for several folders: {first} keeps files on its own jobs alone")
    if (first / PUBLISHED).exists():
        raise UsageError(f"--output {kind} is needed for a published record: {first} stays as it was published")


def _require_jobs(jobs: Sequence[Job], remarks: Sequence[str], folders: Sequence[Path]) -> None:
    if not jobs:
        raise UsageError("; ".join(remarks) or f"{', '.join(map(str, folders))}: no job in it to show")


def _print(report: Report, output: Path | None) -> None:
    if output is None:
        Console(width=None if sys.stdout.isatty() else WIDTH).print(report)
        return
    console = Console(file=StringIO(), width=WIDTH, record=True)
    console.print(report)
    write_atomically(output, console.export_text())


def _figures(jobs: Sequence[Job], options: argparse.Namespace) -> None:
    from mnist_resnet.comparing.figures import write_figures

    for path in write_figures(jobs, options.output or options.folders[0] / FIGURES, options.format, options.by):
        print(path)


class _Once(argparse.Action):
    """Keeps the value of an option that is given once; of several, argparse would silently drop all but the last."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,  # noqa: ARG002
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        """Store the value.

        Raises:
            UsageError: the option was given before.
        """
        if getattr(namespace, self.dest) is not None:
            raise UsageError(f"{option_string}: given twice; give it once")
        setattr(namespace, self.dest, values)


def _parser(program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program,
        description="Print tables, statistics and verdicts on sweeps and single runs, finished or still running.",
    )
    parser.add_argument(
        "folders", nargs="+", type=Path, metavar="SWEEP_DIR", help="a sweep, a job, or a folder that contains them"
    )
    parser.add_argument(
        "--by",
        nargs="+",
        action="extend",
        metavar="FACTOR",
        help="group by these factors only, such as model optim.lr",
    )
    parser.add_argument(
        "--metric",
        nargs="+",
        action="extend",
        metavar="METRIC",
        help="metrics to summarise; default: the task's own, such as test_accuracy",
    )
    parser.add_argument(
        "--smallest-effect",
        type=float,
        action=_Once,
        metavar="SIZE",
        help="smallest difference of interest: percentage points for shares, such as accuracies, else the metric's "
        "unit; default: a tenth of the first level's error rate, or mean",
    )
    parser.add_argument(
        "--format",
        choices=FORMATS,
        action=_Once,
        help="rich: for a terminal; html: a dashboard; default: by the suffix of --output, else rich",
    )
    parser.add_argument(
        "--output", type=Path, action=_Once, metavar="FILE", help="output file; a folder for png and svg"
    )
    parser.add_argument("--wandb", action="store_true", help="create a workspace and a report on W&B instead")
    parser.add_argument(
        "--pair",
        nargs=2,
        action=_Once,
        metavar="SIDE",
        help="compare image by image: two jobs by name, or groups such as model=stem3x3",
    )
    return parser


def _dashboard(folders: Sequence[Path], output: Path | None) -> None:
    from mnist_resnet.comparing.dashboard import write_dashboard

    path = output or folders[0] / DASHBOARD
    write_dashboard(list(folders), path)
    print(path)


def _wandb(jobs: Sequence[Job], report: Report, by: Sequence[str] | None) -> None:
    from mnist_resnet.tracking.wandb_view import save_view

    for url in save_view(jobs, report, by):
        print(url)


def _write(text: str, output: Path | None) -> None:
    if output is None:
        sys.stdout.write(text)
    else:
        write_atomically(output, text)


if __name__ == "__main__":
    sys.exit(main())
