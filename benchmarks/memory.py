"""Measures the peak of resident memory, and the processor time, of whole commands: a job of each network, a dry run.

Run `python -m benchmarks.memory`, with `--beside CHECKOUT` for another commit in the same run (`git worktree add`).
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks.config import ROOT, merge_overrides
from benchmarks.machine import describe_machine, headline, table, write_results
from benchmarks.startup import environment

COMMANDS: Mapping[str, tuple[str, ...]] = {
    "one job, report's network": ("data.train_size=1280", "trainer.epochs=1", "trainer.checkpoint_interval=8"),
    "one job, lean99": ("experiment=lean99", "trainer.epochs=1"),
    "dry run of two jobs": ("-m", "optim.lr=0.02,0.001", "sweep.dry_run=true"),
}
"""Few steps are enough for the peak, if they take longer than `trainer.checkpoint_interval`, so that a checkpoint is
written beside them."""
COMMON = ("trainer.device=cpu", "tracking=none")


class Use(NamedTuple):
    """What a process has used.

    Attributes:
        peak: its largest resident memory, MB.
        seconds: processor time, its children's included.
    """

    peak: float
    seconds: float


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark, print its table and write its results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3, help="repeats of each command (default: %(default)s)")
    parser.add_argument("--beside", metavar="CHECKOUT", type=Path, help="another checkout, measured in turns with this")
    parser.add_argument("--no-write", dest="write", action="store_false", help="do not write to benchmarks/results")
    parser.add_argument("overrides", nargs="*", help="overrides for all commands, such as model.width=8")
    options = parser.parse_args(arguments)
    machine = describe_machine()
    print(headline(machine))
    checkouts = [*([options.beside.resolve()] if options.beside else []), ROOT]
    uses = measure(checkouts, options.overrides, options.repeats)
    lines = [*table(rows(uses)), "", f"Medians over {options.repeats} repeats in turns; ratios to the row above."]
    print("\n".join(lines))
    if options.write:
        path = write_results("memory", machine, lines, {"uses": uses})
        print(f"written: {path.relative_to(ROOT)}.md, .json")


def measure(checkouts: Sequence[Path], overrides: Sequence[str], repeats: int) -> dict[str, dict[str, list[Use]]]:
    """Run each command in each checkout, in turns; return what they used, by command and name of the checkout."""
    uses: dict[str, dict[str, list[Use]]] = {name: {} for name in COMMANDS}
    for _ in range(repeats):
        for name, command in COMMANDS.items():
            for checkout in checkouts:
                used = use(checkout, merge_overrides(*command, *COMMON, *overrides))
                uses[name].setdefault("this commit" if checkout == ROOT else "beside", []).append(used)
    return uses


def use(checkout: Path, arguments: Sequence[str]) -> Use:
    """Run `train.py` of a checkout in an empty folder, and return what it used.

    Raises:
        SystemExit: It failed; its output is in the message.
    """
    command = [sys.executable, str(checkout / "train.py"), *arguments]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, cwd=folder, env=environment(), stdout=output, stderr=output)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            raise SystemExit(f"{' '.join(command)}:\n{output.read()}")
    return Use(used.ru_maxrss * 1024 / 1e6, used.ru_utime + used.ru_stime)


def rows(uses: Mapping[str, Mapping[str, Sequence[Use]]]) -> list[dict[str, str]]:
    """Return the table's rows: medians, and ratios to the other checkout."""
    shown = []
    for name, by_checkout in uses.items():
        before: Use | None = None
        for checkout, repeats in by_checkout.items():
            now = Use(*map(median, zip(*repeats, strict=True)))
            shown.append(
                {
                    "command": name,
                    "code": checkout,
                    "peak, MB": f"{now.peak:,.0f}",
                    "ratio": f"{now.peak / before.peak:.2f}" if before else "",
                    "processor seconds": f"{now.seconds:.1f}",
                    "their ratio": f"{now.seconds / before.seconds:.2f}" if before else "",
                }
            )
            before = now
    return shown


if __name__ == "__main__":
    main()
