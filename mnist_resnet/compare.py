"""Compare jobs: `python -m mnist_resnet.compare SWEEP_DIR… [--by FACTOR…] [--format …]`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from mnist_resnet.comparing.frame import load_jobs
from mnist_resnet.comparing.sweep_report import METRICS, sweep_report
from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import UnreadableFolder, write_atomically

FORMATS = ("rich", "markdown", "csv", "latex", "html", "png", "svg")

FILES = {"html": "dashboard.html", "png": "figures", "svg": "figures"}
"""Where a format goes that is no text for the screen, unless `--output` says otherwise; inside the first folder."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status: 2 for bad input, told in one line."""
    parser = _parser()
    chosen = parser.parse_args(arguments)
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
    pair = (chosen.pair[0], chosen.pair[1]) if chosen.pair else None
    report = sweep_report(jobs, remarks, chosen.by or None, chosen.metric or METRICS, pair)
    if chosen.format == "csv":
        for remark in remarks:
            print(remark, file=sys.stderr)
        _put(report.jobs.to_csv(index=False), chosen.output)
    elif chosen.format in ("markdown", "latex"):
        _put(report.markdown() if chosen.format == "markdown" else report.latex(), chosen.output)
    elif chosen.output:
        with chosen.output.open("w", encoding="utf-8") as file:
            Console(file=file, width=WIDTH).print(report)
    else:
        # piped, a table must not be cut to the 80 columns of a terminal that isn't there
        Console(width=None if sys.stdout.isatty() else WIDTH).print(report)


WIDTH = 200


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m mnist_resnet.compare",
        description="Tables, statistics and verdicts on sweeps and single runs, finished or still running.",
    )
    parser.add_argument(
        "folders", nargs="+", type=Path, metavar="SWEEP_DIR", help="a sweep, a job, or a folder of them"
    )
    parser.add_argument("--by", nargs="+", metavar="FACTOR", help="group by these factors only, such as model optim.lr")
    parser.add_argument("--metric", nargs="+", metavar="METRIC", help=f"what to summarise; else {', '.join(METRICS)}")
    parser.add_argument("--format", choices=FORMATS, default="rich", help="rich is for the terminal; html a dashboard")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write there instead of to the screen")
    parser.add_argument(
        "--pair", nargs=2, metavar="SIDE", help="image by image: two jobs by name, or groups such as model=stem3x3"
    )
    return parser


def _dashboard(folders: Sequence[Path], output: Path | None) -> None:
    from mnist_resnet.comparing.dashboard import write_dashboard

    path = output or folders[0] / FILES["html"]
    write_dashboard(list(folders), path)
    print(path)


def _put(text: str, output: Path | None) -> None:
    if output is None:
        sys.stdout.write(text)
    else:
        write_atomically(output, text)


if __name__ == "__main__":
    sys.exit(main())
