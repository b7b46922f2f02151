"""Measures the start-up time from the shell: of `--help`, compared with Hydra's minimal example, and to the first step.

Run `python -m benchmarks.startup`, with `--beside CHECKOUT` for another commit in the same run. The cases take
turns; the table shows medians.
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
FIRST_STEP, DRY_RUN, BESIDE = "first step", "dry run of two jobs", "beside: "


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark, print its table and write its results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7, help="repeats of each case (default: %(default)s)")
    parser.add_argument(
        "--beside", metavar="CHECKOUT", type=Path, help="another checkout, whose cases are timed as well"
    )
    parser.add_argument("--no-write", dest="write", action="store_false", help="do not write to benchmarks/results")
    parser.add_argument("overrides", nargs="*", help="overrides for the first-step cases, such as data=digits")
    options = parser.parse_args(arguments)
    machine = describe_machine()
    print(headline(machine))
    timed = cases(options.overrides)
    if options.beside:
        timed |= {f"{BESIDE}{name}": case for name, case in own_cases(options.beside, options.overrides).items()}
    times = measure(timed, options.repeats)
    base = median(times[BASE])
    rows = [
        {
            "from the shell": name,
            "s": f"{median(seconds):.2f}",
            "fastest to slowest": f"{min(seconds):.2f} to {max(seconds):.2f}",
            "ratio": "" if FIRST_STEP in name or DRY_RUN in name else f"{median(seconds) / base:.2f}",
            **({"of beside": _share(times, name)} if options.beside else {}),
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
    return {
        BASE: _time_bare_example,
        "import torch": lambda folder: _time_command([sys.executable, "-c", "import torch"], folder),
        **own_cases(ROOT, overrides),
    }


def own_cases(checkout: Path, overrides: Sequence[str]) -> dict[str, Callable[[Path], float]]:
    """Return the cases of this project's commands in one of its checkouts."""
    train = [sys.executable, str(checkout.resolve() / "train.py")]
    on_cpu = [*train, "trainer.device=cpu", *overrides]
    dry_run = [*on_cpu, "optim.lr=0.02,0.001", "sweep.dry_run=true", "-m"]
    return {
        HELP: lambda folder: _time_command([*train, "--help"], folder),
        f"{FIRST_STEP} of train.py trainer.device=cpu tracking=none": lambda folder: _time_first_step(
            [*on_cpu, "tracking=none"], folder
        ),
        f"{FIRST_STEP} of train.py trainer.device=cpu (W&B offline)": lambda folder: _time_first_step(on_cpu, folder),
        DRY_RUN: lambda folder: _time_command(dry_run, folder),
        f"{DRY_RUN} sweep.try_recipes=false": lambda folder: _time_command(
            [*dry_run[:-1], "sweep.try_recipes=false", "-m"], folder
        ),
    }


def _share(times: dict[str, list[float]], name: str) -> str:
    before = times.get(f"{BESIDE}{name}")
    return f"{median(times[name]) / median(before):.2f}" if before else ""


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


def _time_first_step(command: Sequence[str], folder: Path) -> float:
    """Return the seconds until `train.log` has the first step's loss; then kill the run."""
    with (folder / "output").open("w+") as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            [*command, "hydra.run.dir=run"],
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
