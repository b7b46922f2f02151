"""Measures a job's overhead besides training, and whether it grows with the number of jobs in a sweep.

Run `python -m benchmarks.many_jobs`. It runs sweeps of tiny jobs from the shell. A job's time is the time between the
ends of two successive jobs. The time before the first and after the last job is shown for two sizes of sweeps.
"""

import argparse
import json
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any

from benchmarks.config import ROOT
from benchmarks.first_step import FILE
from benchmarks.machine import describe_machine, headline, table, write_results
from benchmarks.startup import TRAIN, environment

TINY = (
    *("data=digits", "data.train_size=128", "data.test_size=64", "model.width=2", "trainer.epochs=1"),
    *("trainer.device=cpu", "trainer.precision=fp32", "trainer.threads=1"),
)
"""Overrides of every job."""
FIRST_STEP_TRACKER = ("tracking=none", "tracking._target_=benchmarks.first_step.FirstStep")
VARIANTS = {
    "nothing else": (*FIRST_STEP_TRACKER, "sweep.keep=none"),
    "with W&B offline": ("tracking=wandb", "tracking.mode=offline", "sweep.keep=none"),
    "with export": (*FIRST_STEP_TRACKER, "sweep.keep=model"),
    "compiled": (*FIRST_STEP_TRACKER, "sweep.keep=none", "trainer.compile=true"),
}
"""Overrides of each variant; the others are compared with the first."""

POLL_SECONDS = 0.02


@dataclass(frozen=True)
class SweepTiming:
    """Measurements of one sweep: times in seconds, memory in MB.

    Attributes:
        jobs: number of jobs.
        before: from the program's start to the first job's start.
        each: for every job but the first, from the previous job's end to its own end, without the training and
            evaluation time in `result.json`.
        after: from the last job's end to the program's end.
        training: training and evaluation time of all jobs, from `result.json`.
        whole: run time of the program.
        memory: resident memory at the end of each job (at the nearest sample).
        to_first_step: for every job but the first, from the previous job's end to the end of its own first step; empty
            if the variant uses another tracker than `FirstStep`.
    """

    jobs: int
    before: float
    each: list[float]
    after: float
    training: float
    whole: float
    memory: list[float]
    to_first_step: list[float]


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark, print its tables and write its results."""
    options = _options(arguments)
    if options.profile:
        profile(options.jobs, options.profile)
        return
    machine = describe_machine()
    print(headline(machine))
    plain, *costly = VARIANTS
    small = run_sweep(max(3, options.jobs // 5), VARIANTS[plain])
    timings = {plain: run_sweep(options.jobs, VARIANTS[plain])}
    timings |= {name: run_sweep(options.costly_jobs, VARIANTS[name]) for name in costly}
    lines = [*table([_job_row(name, timing, timings[plain]) for name, timing in timings.items()]), ""]
    lines += [*table([_sweep_row(timing) for timing in (small, timings[plain])]), "", *_notes()]
    print("\n".join(lines))
    if options.write:
        figures = {name: vars(timing) for name, timing in {"fewer": small, **timings}.items()}
        path = write_results("many_jobs", machine, lines, {"tiny": TINY, "courses": figures})
        print(f"written: {path.relative_to(ROOT)}.md, .json")


def run_sweep(jobs: int, overrides: Sequence[str]) -> SweepTiming:
    """Run a sweep of this many tiny jobs in a process of its own, and measure it.

    Raises:
        SystemExit: A job did not complete.
    """
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "output").open("w+") as output:
        started = time.time()
        process = subprocess.Popen(
            command(jobs, overrides), cwd=folder, env=environment(), stdout=output, stderr=output
        )
        memory = []
        while process.poll() is None:
            memory.append((time.time(), _resident_memory(process.pid)))
            time.sleep(POLL_SECONDS)
        ended = time.time()
        if process.returncode:
            output.seek(0)
            raise SystemExit(f"the sweep exited with code {process.returncode}:\n{output.read()}")
        return _sweep_timing(Path(folder) / "multirun" / "tiny", started, ended, memory)


def command(jobs: int, overrides: Sequence[str]) -> list[str]:
    """Return the sweep's command line."""
    return [*TRAIN, "-m", *TINY, *overrides, f"seed=range(1,{jobs + 1})", "sweep.name=tiny"]


def profile(jobs: int, variant: str) -> None:
    """Profile a sweep with cProfile and print the result; profiling slows down Python code."""
    with tempfile.TemporaryDirectory() as folder:
        python, *rest = command(jobs, VARIANTS[variant])
        subprocess.run([python, "-m", "cProfile", "-o", "stats", *rest], cwd=folder, env=environment(), check=True)
        show = (
            "import pstats; pstats.Stats('stats').sort_stats('cumulative').print_stats('mnist_resnet|posix|wandb', 70)"
        )
        subprocess.run([python, "-c", show], cwd=folder, check=True)


def _sweep_timing(folder: Path, started: float, ended: float, memory: list[tuple[float, float]]) -> SweepTiming:
    results = [json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*/result.json")]
    results.sort(key=lambda result: int(result["index"]))
    # A job's last write releases its lease, in the attempt's file.
    ends = [(folder / result["name"] / "attempts" / "0001.json").stat().st_mtime for result in results]
    seconds = [float(result["seconds"]) for result in results]
    each = [end - previous - own for previous, end, own in zip(ends[:-1], ends[1:], seconds[1:], strict=True)]
    first_step_files = [folder / result["name"] / FILE for result in results]
    first_steps = [float(file.read_text(encoding="utf-8")) for file in first_step_files if file.exists()]
    return SweepTiming(
        jobs=len(results),
        before=ends[0] - started - seconds[0] - median(each),
        each=each,
        after=ended - ends[-1],
        training=sum(seconds),
        whole=ended - started,
        memory=[_nearest_sample(memory, end) for end in ends],
        to_first_step=[first - end for first, end in zip(first_steps[1:], ends, strict=False)],
    )


def _nearest_sample(memory: list[tuple[float, float]], moment: float) -> float:
    return min(memory, key=lambda sample: abs(sample[0] - moment))[1]


def _resident_memory(pid: int) -> float:
    """Return a process's resident memory in MB: the second field of proc(5)'s statm, in pages of 4 KiB; 0 on error."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * 4096 / 1e6
    except (OSError, IndexError):
        return 0.0


def _job_row(name: str, timing: SweepTiming, plain: SweepTiming) -> dict[str, str]:
    tenth = max(1, len(timing.each) // 10)
    return {
        "variant": name,
        "jobs": str(timing.jobs),
        "overhead per job, ms": f"{1000 * mean(timing.each):.0f}",
        "more than with nothing else": ""
        if timing is plain
        else f"{1000 * (mean(timing.each) - mean(plain.each)):.0f}",
        "to the first step, median": f"{1000 * median(timing.to_first_step):.0f}" if timing.to_first_step else "",
        "slowest": f"{1000 * max(timing.to_first_step):.0f}" if timing.to_first_step else "",
        "median of the first tenth": f"{1000 * median(timing.each[:tenth]):.0f}",
        "of the last tenth": f"{1000 * median(timing.each[-tenth:]):.0f}",
        "training, ms": f"{1000 * timing.training / timing.jobs:.0f}",
        "MB after a tenth": f"{timing.memory[tenth]:.0f}",
        "MB at the end": f"{timing.memory[-1]:.0f}",
    }


def _sweep_row(timing: SweepTiming) -> dict[str, str]:
    return {
        "sweep": f"{timing.jobs} jobs",
        "s before the first job": f"{timing.before:.2f}",
        "s after the last": f"{timing.after:.2f}",
        "s of the program": f"{timing.whole:.1f}",
    }


def _notes() -> list[str]:
    return [
        "Overhead per job: mean time from the previous job's end to its own, without training and evaluation.",
        "To the first step: from a job's end until the loss of the next job's first step is read.",
        "Before the first job: imports, composing, checking and freezing; after the last: table, dashboard and plots.",
        f"Each job: {' '.join(TINY)}.",
    ]


def _options(arguments: list[str] | None) -> Any:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=100, help="jobs in the larger plain sweep (default: %(default)s)")
    parser.add_argument(
        "--costly-jobs", type=int, default=25, help="jobs in each of the other sweeps (default: %(default)s)"
    )
    parser.add_argument("--profile", choices=VARIANTS, help="profile a sweep of --jobs jobs instead of timing it")
    parser.add_argument("--no-write", dest="write", action="store_false", help="do not write to benchmarks/results")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
