"""How long the program takes to start, from the shell: its help against Hydra's bare example, and a run's first step.

Run `python -m benchmarks.startup`. The cases take turns; the table gives medians.
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

from benchmarks.composed import ROOT
from benchmarks.machine import described, headline, table, write_results

BARE = """import hydra
from omegaconf import DictConfig


@hydra.main(version_base="1.3", config_path=".", config_name="config")
def app(config: DictConfig) -> None:
    print(config)


app()
"""
"""Hydra's own first example, https://hydra.cc/docs/tutorials/basic/your_first_app/config_file."""

BARE_CONFIG = "db:\n  driver: mysql\n  user: omry\n  pass: secret\n"
POLL = 0.005
PATIENCE = 120.0
"""Seconds to wait for a first step."""

TRAIN = [sys.executable, str(ROOT / "train.py")]
BASE, HELP = "Hydra's bare example, --help", "train.py --help"
FIRST_STEP = "first step"


def main(arguments: list[str] | None = None) -> None:
    """Measure, print the table, write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7, help="of each case (default: %(default)s)")
    parser.add_argument("--no-write", dest="write", action="store_false", help="leave benchmarks/results alone")
    parser.add_argument("overrides", nargs="*", help="of the runs whose first step is timed, such as data=digits")
    options = parser.parse_args(arguments)
    machine = described()
    print(headline(machine))
    times = measured(cases(options.overrides), options.repeats)
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
    lines = [*table(rows), "", f"Medians over {options.repeats} turns; ratio to Hydra's bare example."]
    print("\n".join(lines))
    if options.write:
        path = write_results("startup", machine, lines, {"seconds": times})
        print(f"written: {path.relative_to(ROOT)}.md, .json")


def cases(overrides: Sequence[str]) -> dict[str, Callable[[Path], float]]:
    """What is timed, by name: each takes an empty folder to work in and gives seconds."""
    plain = ["trainer.device=cpu", *overrides]
    return {
        BASE: _bare_example,
        HELP: lambda folder: _to_the_end([*TRAIN, "--help"], folder),
        "import torch": lambda folder: _to_the_end([sys.executable, "-c", "import torch"], folder),
        f"{FIRST_STEP} of train.py trainer.device=cpu tracking=none": lambda folder: _to_the_first_step(
            [*plain, "tracking=none"], folder
        ),
        f"{FIRST_STEP} of train.py trainer.device=cpu (W&B offline)": lambda folder: _to_the_first_step(plain, folder),
    }


def measured(cases: dict[str, Callable[[Path], float]], repeats: int) -> dict[str, list[float]]:
    """Seconds of each case, in turns; a first turn, which fills the disk's cache, does not count."""
    times: dict[str, list[float]] = {name: [] for name in cases}
    for turn in range(repeats + 1):
        for name, case in cases.items():
            with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
                seconds = case(Path(folder))
            if turn:
                times[name].append(seconds)
    return times


def environment() -> dict[str, str]:
    """This process's, without what would let a timed run reach an account."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("WANDB", "HYDRA"))}
    return kept | {"NETRC": os.devnull}


def _bare_example(folder: Path) -> float:
    (folder / "app.py").write_text(BARE, encoding="utf-8")
    (folder / "config.yaml").write_text(BARE_CONFIG, encoding="utf-8")
    return _to_the_end([sys.executable, "app.py", "--help"], folder)


def _to_the_end(command: Sequence[str], folder: Path) -> float:
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, env=environment(), check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def _to_the_first_step(overrides: Sequence[str], folder: Path) -> float:
    """Until `train.log` has the first step's loss; the run is killed then."""
    with (folder / "said").open("w+") as said:
        started = time.perf_counter()
        process = subprocess.Popen(
            [*TRAIN, *overrides, "hydra.run.dir=run"],
            cwd=folder,
            env=environment(),
            stdout=said,
            stderr=said,
            process_group=0,
        )
        try:
            while not _has_stepped(folder / "run" / "train.log"):
                if process.poll() is not None or time.perf_counter() - started > PATIENCE:
                    raise SystemExit(f"no first step came: {(folder / 'said').read_text()}")
                time.sleep(POLL)
            return time.perf_counter() - started
        finally:
            # W&B has a process of its own.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _has_stepped(log: Path) -> bool:
    return log.exists() and "Loss:" in log.read_text(encoding="utf-8")


if __name__ == "__main__":
    main()
