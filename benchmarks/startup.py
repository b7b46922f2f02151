"""Measures the start-up time from the shell: of `--help`, compared with Hydra's minimal example, and to the first step.

Run `python -m benchmarks.startup`. The cases take turns; the table shows medians.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

from benchmarks.config import ROOT
from benchmarks.machine import describe_machine, headline, table, write_results

BARE = """import hydra
from omegaconf import DictConfig


@hydra.main(version_base="1.3", config_path=".", config_name="config")
def app(config: DictConfig) -> None:
    print(config)


app()
"""
"""Hydra's own first example, https://hydra.cc/docs/tutorials/basic/your_first_app/config_file."""

BARE_CONFIG = "db:\n  driver: mysql\n  user: omry\n  pass: secret\n"
POLL_SECONDS = 0.005
FIRST_STEP_TIMEOUT = 120.0
"""Seconds to wait for a first step."""

TRAIN = [sys.executable, str(ROOT / "train.py")]
BASE, HELP = "Hydra's bare example, --help", "train.py --help"
FIRST_STEP = "first step"


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark, print its table and write its results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7, help="repeats of each case (default: %(default)s)")
    parser.add_argument("--no-write", dest="write", action="store_false", help="do not write to benchmarks/results")
    parser.add_argument("overrides", nargs="*", help="overrides for the first-step cases, such as data=digits")
    options = parser.parse_args(arguments)
    machine = describe_machine()
    print(headline(machine))
    times = measure(cases(options.overrides), options.repeats)
    base = median(times[BASE])
    rows = [
        {
            "from the shell": name,
            "s": f"{median(seconds):.2f}",
            "fastest to slowest": f"{min(seconds):.2f} to {max(seconds):.2f}",
            "ratio": "" if FIRST_STEP in name else f"{median(seconds) / base:.2f}",
        }
        for name, seconds in times.items()
    ]
    lines = [*table(rows), "", f"Medians over {options.repeats} repeats; ratios to Hydra's bare example."]
    print("\n".join(lines))
    if options.write:
        path = write_results("startup", machine, lines, {"seconds": times})
        print(f"written: {path.relative_to(ROOT)}.md, .json")


def cases(overrides: Sequence[str]) -> dict[str, Callable[[Path], float]]:
    """Return the timed cases by name; each function takes an empty folder to work in and returns seconds."""
    first_step = ["trainer.device=cpu", *overrides]
    return {
        BASE: _time_bare_example,
        HELP: lambda folder: _time_command([*TRAIN, "--help"], folder),
        "import torch": lambda folder: _time_command([sys.executable, "-c", "import torch"], folder),
        f"{FIRST_STEP} of train.py trainer.device=cpu tracking=none": lambda folder: _time_first_step(
            [*first_step, "tracking=none"], folder
        ),
        f"{FIRST_STEP} of train.py trainer.device=cpu (W&B offline)": lambda folder: _time_first_step(
            first_step, folder
        ),
    }


def measure(cases: dict[str, Callable[[Path], float]], repeats: int) -> dict[str, list[float]]:
    """Time the cases in turns, and return the seconds of each repeat by case.

    An additional first turn fills the disk cache and does not count.
    """
    times: dict[str, list[float]] = {name: [] for name in cases}
    for repeat in range(repeats + 1):
        for name, case in cases.items():
            with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
                seconds = case(Path(folder))
            if repeat:
                times[name].append(seconds)
    return times


def environment() -> dict[str, str]:
    """Return the environment for timed runs: this process's, without W&B's and Hydra's settings and credentials."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("WANDB", "HYDRA"))}
    return kept | {"NETRC": os.devnull}


def _time_bare_example(folder: Path) -> float:
    (folder / "app.py").write_text(BARE, encoding="utf-8")
    (folder / "config.yaml").write_text(BARE_CONFIG, encoding="utf-8")
    return _time_command([sys.executable, "app.py", "--help"], folder)


def _time_command(command: Sequence[str], folder: Path) -> float:
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, env=environment(), check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def _time_first_step(overrides: Sequence[str], folder: Path) -> float:
    """Return the seconds until `train.log` has the first step's loss; then kill the run."""
    with (folder / "output").open("w+") as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            [*TRAIN, *overrides, "hydra.run.dir=run"],
            cwd=folder,
            env=environment(),
            stdout=output,
            stderr=output,
            process_group=0,
        )
        try:
            while not _has_stepped(folder / "run" / "train.log"):
                if process.poll() is not None or time.perf_counter() - started > FIRST_STEP_TIMEOUT:
                    raise SystemExit(f"no first step in {FIRST_STEP_TIMEOUT:g} s: {(folder / 'output').read_text()}")
                time.sleep(POLL_SECONDS)
            return time.perf_counter() - started
        finally:
            # Kill the whole process group: W&B runs a process of its own.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _has_stepped(log: Path) -> bool:
    return log.exists() and "Loss:" in log.read_text(encoding="utf-8")


if __name__ == "__main__":
    main()
