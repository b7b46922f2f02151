"""What a job of a sweep costs besides training, and whether 1,000 of them cost each what 10 do.

Run `python -m benchmarks.many_jobs`. Sweeps of tiny jobs are started from the shell, and a job's time is what
lies between the ends of two jobs. What is done once, before the first and after the last, is shown at two sizes.
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

from benchmarks.composed import ROOT
from benchmarks.first_step import FILE
from benchmarks.machine import described, headline, table, write_results
from benchmarks.startup import TRAIN, environment

TINY = (
    *("data=digits", "data.train_size=128", "data.test_size=64", "model.width=2", "trainer.epochs=1"),
    *("trainer.device=cpu", "trainer.precision=fp32", "trainer.threads=1"),
)
NOTED = ("tracking=none", "tracking._target_=benchmarks.first_step.FirstStep")
VARIANTS = {
    "nothing else": (*NOTED, "sweep.keep=none"),
    "with W&B offline": ("tracking=wandb", "tracking.mode=offline", "sweep.keep=none"),
    "with export": (*NOTED, "sweep.keep=model"),
    "compiled": (*NOTED, "sweep.keep=none", "trainer.compile=true"),
}
"""What the sweeps differ in; the first is what the others are compared with."""

POLL = 0.02


@dataclass(frozen=True)
class Course:
    """How a sweep went, in seconds and MB.

    Attributes:
        jobs: how many.
        before: from the program's start to the first job's.
        each: for every job but the first, from the end of the one before to its own, without what `result.json` counts
            as training and evaluation.
        after: from the last job's end to the program's.
        training: of all jobs, as `result.json` counts it.
        whole: of the program.
        memory: resident, at the end of each job (as far as it was seen).
        to_first_step: for every job but the first, from the end of the one before to its own first step's end; empty
            where a tracker of its own left no room for noting it.
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
    """Measure, print the tables, write the results."""
    options = _options(arguments)
    if options.profile:
        profile(options.jobs, options.profile)
        return
    machine = described()
    print(headline(machine))
    plain, *costly = VARIANTS
    few = run_sweep(max(3, options.jobs // 5), VARIANTS[plain])
    courses = {plain: run_sweep(options.jobs, VARIANTS[plain])}
    courses |= {name: run_sweep(options.costly_jobs, VARIANTS[name]) for name in costly}
    lines = [*table([_cost(name, course, courses[plain]) for name, course in courses.items()]), ""]
    lines += [*table([_once(course) for course in (few, courses[plain])]), "", *_explained()]
    print("\n".join(lines))
    if options.write:
        figures = {name: vars(course) for name, course in {"fewer": few, **courses}.items()}
        path = write_results("many_jobs", machine, lines, {"tiny": TINY, "courses": figures})
        print(f"written: {path.relative_to(ROOT)}.md, .json")


def run_sweep(jobs: int, overrides: Sequence[str]) -> Course:
    """Run a sweep of so many tiny jobs in a process of its own, and read off how it went.

    Raises:
        SystemExit: a job did not complete.
    """
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "said").open("w+") as said:
        started = time.time()
        process = subprocess.Popen(command(jobs, overrides), cwd=folder, env=environment(), stdout=said, stderr=said)
        memory = []
        while process.poll() is None:
            memory.append((time.time(), _resident(process.pid)))
            time.sleep(POLL)
        ended = time.time()
        if process.returncode:
            said.seek(0)
            raise SystemExit(f"the sweep ended with {process.returncode}:\n{said.read()}")
        return _course(Path(folder) / "multirun" / "tiny", started, ended, memory)


def command(jobs: int, overrides: Sequence[str]) -> list[str]:
    """The sweep's command line."""
    return [*TRAIN, "-m", *TINY, *overrides, f"seed=range(1,{jobs + 1})", "sweep.name=tiny"]


def profile(jobs: int, variant: str) -> None:
    """Print where a sweep's time goes, by cProfile, which slows Python's own part down."""
    with tempfile.TemporaryDirectory() as folder:
        python, *rest = command(jobs, VARIANTS[variant])
        subprocess.run([python, "-m", "cProfile", "-o", "stats", *rest], cwd=folder, env=environment(), check=True)
        show = (
            "import pstats; pstats.Stats('stats').sort_stats('cumulative').print_stats('mnist_resnet|posix|wandb', 70)"
        )
        subprocess.run([python, "-c", show], cwd=folder, check=True)


def _course(folder: Path, started: float, ended: float, memory: list[tuple[float, float]]) -> Course:
    results = [json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*/result.json")]
    results.sort(key=lambda result: int(result["index"]))
    # A job's last write releases its claim.
    ends = [(folder / result["name"] / "attempts" / "0001.json").stat().st_mtime for result in results]
    seconds = [float(result["seconds"]) for result in results]
    each = [end - before - own for before, end, own in zip(ends[:-1], ends[1:], seconds[1:], strict=True)]
    seen = [_at(memory, end) for end in ends]
    notes = [folder / result["name"] / FILE for result in results]
    firsts = [float(note.read_text(encoding="utf-8")) for note in notes if note.exists()]
    return Course(
        jobs=len(results),
        before=ends[0] - started - seconds[0] - median(each),
        each=each,
        after=ended - ends[-1],
        training=sum(seconds),
        whole=ended - started,
        memory=seen,
        to_first_step=[first - end for first, end in zip(firsts[1:], ends, strict=False)],
    )


def _at(memory: list[tuple[float, float]], moment: float) -> float:
    return min(memory, key=lambda seen: abs(seen[0] - moment))[1]


def _resident(pid: int) -> float:
    """MB of memory that the process has resident: the second field of proc(5)'s statm, in pages of 4 KiB."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * 4096 / 1e6
    except (OSError, IndexError):
        return 0.0


def _cost(name: str, course: Course, plain: Course) -> dict[str, str]:
    tenth = max(1, len(course.each) // 10)
    return {
        "a job": name,
        "jobs": str(course.jobs),
        "ms besides training": f"{1000 * mean(course.each):.0f}",
        "more than with nothing else": ""
        if course is plain
        else f"{1000 * (mean(course.each) - mean(plain.each)):.0f}",
        "to the first step, median": f"{1000 * median(course.to_first_step):.0f}" if course.to_first_step else "",
        "slowest": f"{1000 * max(course.to_first_step):.0f}" if course.to_first_step else "",
        "median of the first tenth": f"{1000 * median(course.each[:tenth]):.0f}",
        "of the last tenth": f"{1000 * median(course.each[-tenth:]):.0f}",
        "ms training": f"{1000 * course.training / course.jobs:.0f}",
        "MB after a tenth": f"{course.memory[tenth]:.0f}",
        "MB at the end": f"{course.memory[-1]:.0f}",
    }


def _once(course: Course) -> dict[str, str]:
    return {
        "a sweep of": f"{course.jobs} jobs",
        "s before the first job": f"{course.before:.2f}",
        "s after the last": f"{course.after:.2f}",
        "s of the program": f"{course.whole:.1f}",
    }


def _explained() -> list[str]:
    return [
        "A job: mean time from the end of the last one to its own, without what it counts as training and evaluation.",
        "To the first step: from a job's end until the loss of the next one's first step was read.",
        "Before the first job: imports, composing, checking and freezing; after the last: table, dashboard and plots.",
        f"Each job: {' '.join(TINY)}.",
    ]


def _options(arguments: list[str] | None) -> Any:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=100, help="in the larger sweep (default: %(default)s)")
    parser.add_argument(
        "--costly-jobs", type=int, default=25, help="likewise, with W&B, exported, compiled (default: %(default)s)"
    )
    parser.add_argument("--profile", choices=VARIANTS, help="print where the time of a sweep of --jobs goes instead")
    parser.add_argument("--no-write", dest="write", action="store_false", help="leave benchmarks/results alone")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
