"""Kills, stops and starves the processes of a sweep and a search at random, and compares the end with a quiet run.

A sweep with two workers and a search in two terminals run side by side on a small disk, with parts of a user's own
(`chaos_parts`). Until the faults are used up, each command is typed again as soon as it has ended. At the end every job
must have one result with the bits of the quiet run, little work may have been repeated, no process may be left over and
no file half-written.

    python -m benchmarks.chaos --faults 200 --seed 1 --write
"""

import argparse
import multiprocessing
import os
import random
import runpy
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from benchmarks.chaos_parts import FOLDER, PAUSE, STEPS
from benchmarks.full_disk import fill_disk
from benchmarks.machine import describe_machine, headline, write_results
from mnist_resnet.attempts import attempts
from mnist_resnet.job_folder import BATCH_LOSSES, CHECKPOINT, METRICS, RESULT, SWEEP, read_json, read_metrics

CHECKOUT = Path(__file__).parents[1]
EPOCHS, STEPS_PER_EPOCH, CHECKPOINT_EVERY = 4, 6, 3
TIMES = ("seconds", "training_seconds", "images_per_second")
FAST, SLOW = 0.1, 5.0
"""Seconds that each step sleeps while faults happen."""
LIMIT = 1800
"""Seconds that the commands may take to end once nothing disturbs them any more."""
OWN = {
    "loss/remembering.yaml": "_target_: benchmarks.chaos_parts.RememberingLoss\n",
    "schedule/drifting.yaml": "_target_: benchmarks.chaos_parts.drifting\n_partial_: true\n",
    "optim/own.yaml": "_target_: {optimizer}\n_partial_: true\nlr: 0.003\n",
}
"""Config files of the user's, by path in `conf`."""
WORKER, WANDB = b"mnist_resnet.work", b"wandb-core"
"""What the command line of a worker, and of W&B's own process, has in it."""


@dataclass
class Terminal:
    """A terminal in which a command is typed again and again.

    Attributes:
        name: Shown in the log.
        arguments: Of train.py.
        folder: The sweep folder.
        process: The command as it was typed last.
        codes: How often it ended with which exit code.
    """

    name: str
    arguments: list[str]
    folder: Path
    process: BaseProcess | None = None
    codes: Counter[int] = field(default_factory=Counter)


class Chaos:
    """One run.

    Args:
        root: An empty folder.
        jobs: Jobs of the sweep, and trials of the search.
        seed: Of the order and kinds of faults.
    """

    def __init__(self, root: Path, jobs: int, seed: int) -> None:
        self.root, self.rng = root, random.Random(seed)
        self.disk, self.conf = root / "disk", root / "conf"
        self.faults: Counter[str] = Counter()
        self.problems: list[str] = []
        self.has_small_disk = False
        self._started = time.monotonic()
        optimizer = "pytorch_optimizer.SOAP" if find_spec("pytorch_optimizer") else "torch.optim.Adam"
        for name, text in OWN.items():
            (self.conf / name).parent.mkdir(parents=True, exist_ok=True)
            (self.conf / name).write_text(text.format(optimizer=optimizer))
        common = ["loss=remembering", "schedule=drifting", "optim=own", "data=digits", "data.train_size=96"]
        common += ["data.test_size=32", "data.batch_size=16", f"trainer.epochs={EPOCHS}", "model.width=2"]
        common += ["model.blocks=[1]", "trainer.precision=fp32", "trainer.compile=false", "trainer.threads=1"]
        common += [f"trainer.checkpoint_every={CHECKPOINT_EVERY}", "trainer.log_interval=2", "tracking=wandb"]
        common += ["tracking.mode=offline", "sweep.keep=none", "sweep.retries=1000"]
        ahead = ["--config-dir", str(self.conf), "-m"]
        seeds = ",".join(str(number) for number in range(1, jobs + 1))
        self.sweep = [*ahead, *common, f"seed={seeds}", "hydra/launcher=workers", "hydra.launcher.workers=2"]
        self.search = [*ahead, *common, "hydra/sweeper=search", "hydra/sweeper/sampler=random"]
        self.search += ["hydra/sweeper/pruner=none", "data.val_size=32", "optim.lr=tag(log,interval(1e-4,1e-2))"]
        self.search += [f"sweep.trials={jobs}"]

    def terminals(self, folder: Path) -> list[Terminal]:
        """Return the terminals, none of them started, of sweeps in `folder`."""
        sweep, search = folder / "sweep", folder / "search"
        searching = [*self.search, f"hydra.sweep.dir={search}"]
        return [
            Terminal("sweep", [*self.sweep, f"hydra.sweep.dir={sweep}"], sweep),
            Terminal("search, first terminal", searching, search),
            Terminal("search, second terminal", searching, search),
        ]

    def set_pause(self, seconds: float) -> None:
        """Let each training step take so many seconds longer."""
        (self.root / PAUSE).write_text(str(seconds))

    def steps(self) -> int:
        """Return how many steps all processes have trained so far."""
        return (self.root / STEPS).stat().st_size if (self.root / STEPS).exists() else 0

    def type(self, terminal: Terminal) -> None:
        """Type the terminal's command, unless it still runs."""
        if terminal.process is not None:
            if terminal.process.is_alive():
                return
            terminal.codes[int(terminal.process.exitcode or 0)] += 1
        log = self.root / f"{terminal.name}.txt"
        terminal.process = _PROCESSES.Process(target=_train, args=(terminal.arguments, self.root, log))
        terminal.process.start()

    def finish(self, terminals: Sequence[Terminal]) -> None:
        """Type each command until it ends well."""
        deadline = time.monotonic() + LIMIT
        for terminal in terminals:
            while terminal.process is None or terminal.process.exitcode != 0:
                self.type(terminal)
                assert terminal.process is not None
                terminal.process.join(1)
                if time.monotonic() > deadline:
                    self.problems.append(f"{terminal.name}: has not ended after {LIMIT} s without faults")
                    return

    def disturb(self, terminals: Sequence[Terminal], faults: int, longest_wait: float, needed: int) -> None:
        """Inject so many faults at random, typing each command again whenever it has ended.

        The steps are slowed down whenever more of the work is done than of the faults: both last equally long.

        Args:
            terminals: All of them.
            faults: How many.
            longest_wait: Seconds between two of them.
            needed: How many steps the jobs have.
        """
        before = self.steps()

        def running() -> set[int]:
            return {t.process.pid for t in terminals if t.process and t.process.is_alive() and t.process.pid}

        kinds: list[tuple[str, int, Callable[[], str | None]]] = [
            ("a terminal", 6, lambda: self._kill_one(running())),
            ("a worker", 6, lambda: self._kill_one(self._workers())),
            ("W&B's process", 2, lambda: self._kill_one(processes(self.root, WANDB))),
            ("disk full", int(self.has_small_disk), self._fill_disk),
            ("conf/ edited", 1, self._edit_conf),
        ]
        while sum(self.faults.values()) < faults:
            for terminal in terminals:
                self.type(terminal)
            time.sleep(self.rng.uniform(0.2, longest_wait))
            ((name, _, inject),) = self.rng.choices(kinds, [weight for _, weight, _ in kinds])
            what = inject()
            if what is not None:
                kind = f"{name}: {what}" if what else name
                self.faults[kind] += 1
                count = sum(self.faults.values())
                done = (self.steps() - before) / needed
                self._say(f"{count}/{faults} {kind} ({done:.0%} of the work)")
                self.set_pause(SLOW if done > count / faults else FAST)

    def _workers(self) -> set[int]:
        """Return the workers that run a job or, every fourth time, also those that are just starting."""
        alive = processes(self.root, WORKER)
        last = [records[-1] for file in self.disk.glob(f"sweep/*/{RESULT}") if (records := attempts(file.parent))]
        running = {record["pid"] for record in last if record["ended"] is None}
        return alive if self.rng.random() < 0.25 else alive & running

    def _kill_one(self, pids: set[int]) -> str | None:
        """Send a signal to one of the processes; return its name, or None if there is none."""
        if not pids:
            return None
        number = self.rng.choice([signal.SIGKILL] * 3 + [signal.SIGTERM, signal.SIGINT, signal.SIGSTOP])
        pid = self.rng.choice(sorted(pids))
        try:
            os.kill(pid, number)
            if number == signal.SIGSTOP:
                time.sleep(self.rng.uniform(0.5, 8))
                os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            return None
        return number.name

    def _fill_disk(self) -> str:
        filler = self.disk / "filler"
        fill_disk(filler)
        time.sleep(self.rng.uniform(1, 5))
        filler.unlink()
        return ""

    def _edit_conf(self) -> str:
        """Add a comment to a config file, or break it for a while."""
        file = self.conf / self.rng.choice(sorted(OWN))
        text = file.read_text()
        if self.rng.random() < 0.5:
            file.write_text(f"{text}# {self.rng.random()}\n")
            return "a comment"
        file.write_text("_target_: [")
        time.sleep(self.rng.uniform(1, 5))
        file.write_text(text)
        return "broken for a while"

    def _say(self, line: str) -> None:
        print(f"{time.monotonic() - self._started:7.1f} s  {line}", flush=True)

    def compare(self, quiet: Path, disturbed: Path) -> None:
        """Note every difference between the folders of the quiet and of the disturbed run."""
        for name in ("sweep", "search"):
            jobs = {job["name"] for job in read_json(quiet / name / SWEEP)["jobs"]}
            there = {job["name"] for job in read_json(disturbed / name / SWEEP)["jobs"]}
            if jobs != there:
                self.problems.append(f"{name}: other jobs than in the quiet run: {sorted(jobs ^ there)}")
            for job in sorted(jobs & there):
                self._compare_job(quiet / name / job, disturbed / name / job)
        for file in disturbed.rglob("*"):
            if file.name.startswith(".") and file.is_file() and ".hydra" not in file.parts:
                self.problems.append(f"{file.relative_to(disturbed)}: left half-written")
            if file.name.startswith(CHECKPOINT.partition(".")[0]):
                self.problems.append(f"{file.relative_to(disturbed)}: left over")

    def _compare_job(self, quiet: Path, disturbed: Path) -> None:
        ends = [attempt["status"] for attempt in attempts(disturbed)]
        status = read_json(disturbed / RESULT)["status"]
        # One that was killed between the two writes has a result, and an attempt that does not say how it ended.
        accepted = ends.count("completed") + (ends[-1] == "running")
        if status != "completed" or accepted != 1:
            self.problems.append(f"{disturbed.name}: {status} after {ends}")
        elif _metrics(quiet) != _metrics(disturbed):
            self.problems.append(f"{disturbed.name}: another {METRICS} than in the quiet run")
        elif (quiet / BATCH_LOSSES).read_bytes() != (disturbed / BATCH_LOSSES).read_bytes():
            self.problems.append(f"{disturbed.name}: other bits than in the quiet run")

    def check_tracebacks(self) -> None:
        """Note each traceback in what the terminals showed."""
        for log in self.root.glob("*.txt"):
            text = log.read_text(errors="replace")
            if "Traceback (most recent call last)" in text:
                self.problems.append(f"{log.name}: {text.count('Traceback (most recent call last)')} tracebacks")

    def check_processes(self) -> None:
        """Note each process that is left over."""
        deadline = time.monotonic() + 60
        while (left := processes(self.root, WORKER, WANDB)) and time.monotonic() < deadline:
            time.sleep(0.5)
        self.problems += [f"process {pid} is left over: {_command_line(pid)!r}" for pid in sorted(left)]


def run_chaos(root: Path, faults: int, jobs: int, seed: int, longest_wait: float) -> dict[str, Any]:
    """Run the quiet run, then the disturbed one; return the figures."""
    chaos = Chaos(root, jobs, seed)
    chaos.set_pause(0)
    started = time.monotonic()
    chaos.finish(chaos.terminals(root / "quiet")[:2])
    needed = chaos.steps()
    chaos.disk.mkdir()
    chaos.has_small_disk = mount_small_disk(chaos.disk, 200 + 4 * jobs)
    try:
        terminals = chaos.terminals(chaos.disk)
        chaos.set_pause(FAST)
        chaos.disturb(terminals, faults, longest_wait, needed)
        chaos.set_pause(0)
        chaos.finish(terminals)
        chaos.check_processes()
        chaos.compare(root / "quiet", chaos.disk)
        chaos.check_tracebacks()
        starts = sum(len(attempts(job.parent)) for job in chaos.disk.glob(f"*/*/{RESULT}"))
        ended = len(list(chaos.disk.glob(f"*/*/{RESULT}")))
    finally:
        if chaos.has_small_disk:
            subprocess.run(["umount", "--lazy", str(chaos.disk)], check=True)
    repeated = chaos.steps() - 2 * needed
    # Kills fall anywhere in an interval; where the disk is full, each process may lose the one before as well.
    restarts = starts - ended
    most = CHECKPOINT_EVERY * (restarts + 4 * chaos.faults["disk full"] + 2)
    if repeated > most:
        chaos.problems.append(f"{repeated} steps repeated in {restarts} restarts, {most} at most are allowed")
    return {
        "seconds": round(time.monotonic() - started, 1),
        "faults": dict(sorted(chaos.faults.items())),
        "jobs": ended,
        "attempts": starts,
        "steps": {"needed": needed, "repeated": repeated, "checkpoint_every": CHECKPOINT_EVERY},
        "exit_codes": {terminal.name: dict(terminal.codes) for terminal in terminals},
        "problems": chaos.problems,
    }


def mount_small_disk(folder: Path, mebibytes: int) -> bool:
    """Mount a disk of a size that can be filled; return whether that is allowed here."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", str(folder)]
    return shutil.which("mount") is not None and not subprocess.run(mount, capture_output=True, check=False).returncode


def processes(root: Path, *words: bytes) -> set[int]:
    """Return the processes of this run with one of the words in their command line, except for those that end."""
    mark, found = f"{FOLDER}={root}".encode(), set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes()
            if any(word in command for word in words) and mark in (folder / "environ").read_bytes().split(b"\0"):
                found.add(int(folder.name))
        except OSError:
            continue
    return found


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")[:200]
    except OSError:
        return "it has just ended"


def _metrics(folder: Path) -> list[dict[str, Any]]:
    return [{key: value for key, value in epoch.items() if key not in TIMES} for epoch in read_metrics(folder)]


# A fork server that has imported the slow modules starts each terminal at once. Workers start as they always do.
_PROCESSES = multiprocessing.get_context("forkserver")
_PRELOAD = ["hydra.main", "torch._dynamo", "mnist_resnet.sweeps.launch", "mnist_resnet.search.run", "wandb"]


def _train(arguments: list[str], folder: Path, log: Path) -> None:
    os.setsid()
    with log.open("a") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.chdir(folder)
    sys.argv = ["train.py", *arguments]
    runpy.run_path(str(CHECKOUT / "train.py"), run_name="__main__")


def lines_of(figures: dict[str, Any], seed: int) -> list[str]:
    """Return the log's lines."""
    steps = figures["steps"]
    share = f"{steps['repeated']} of {steps['needed']} steps were trained again"
    lines = [
        f"Seed {seed}: {sum(figures['faults'].values())} faults, {figures['jobs']} jobs, {figures['seconds']:.0f} s."
    ]
    lines += [f"{figures['attempts']} attempts; {share} (a checkpoint every {steps['checkpoint_every']}).", ""]
    lines += ["| fault | times |", "| --- | --- |"]
    lines += [f"| {kind} | {count} |" for kind, count in figures["faults"].items()]
    lines += ["", *(f"- {terminal}: exit codes {codes}" for terminal, codes in figures["exit_codes"].items())]
    return [*lines, "", *(figures["problems"] or ["Each job has one result, with the bits of the quiet run."])]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chaos", description=__doc__)
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=20, help="of the sweep; the search has as many trials")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--longest-wait", type=float, default=4.0, help="seconds between two faults")
    parser.add_argument("--keep", action="store_true", help="keep the folder with the terminals' output")
    parser.add_argument("--write", action="store_true", help="write the log to benchmarks/results")
    options = parser.parse_args(arguments)
    root = Path(tempfile.mkdtemp(prefix="chaos"))
    removed = [name for name in os.environ if name.startswith(("WANDB", "HYDRA"))]
    for name in removed:
        del os.environ[name]
    os.environ |= {FOLDER: str(root), "NETRC": "/nonexistent", "PYTHONPATH": str(CHECKOUT), "OMP_NUM_THREADS": "1"}
    _PROCESSES.set_forkserver_preload(_PRELOAD)
    figures = run_chaos(root, options.faults, options.jobs, options.seed, options.longest_wait)
    machine = describe_machine()
    lines = lines_of(figures, options.seed)
    print("\n".join([headline(machine), *lines]))
    if options.write:
        write_results("chaos", machine, lines, {"seed": options.seed, **figures})
    if options.keep or figures["problems"]:
        print(f"kept: {root}")
    else:
        shutil.rmtree(root)
    return 1 if figures["problems"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
