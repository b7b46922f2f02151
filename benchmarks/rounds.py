"""Runs contenders side by side, each in a process of its own, and lets them take turns.

All stay warm, and a disturbance of the machine affects all of them.
"""

import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

from benchmarks.contenders import Contender, command
from benchmarks.workload import Workload

Figures = dict[str, Any]
EXIT_TIMEOUT = 30.0
"""Seconds that a contender's process may take to end; then it is killed."""


class ContenderFailed(Exception):
    """A contender's process ended by itself; the message is the last line of its output."""


class ContenderProcess:
    """The process of one contender.

    Attributes:
        first: seconds until the first step: `start` since the process started, `building` since its imports ended.

    Args:
        contender: one of `CONTENDERS`, or `LIMIT`.
        workload: what it trains.
        keep: whether to warm it up for rounds; False if only its first step is measured.

    Raises:
        ContenderFailed: The process ended before it was ready.
    """

    def __init__(self, contender: Contender, workload: Workload, keep: bool = True) -> None:
        self.contender = contender
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed with the process)
        started = time.perf_counter()
        self._process = subprocess.Popen(
            command(contender, workload),
            cwd=contender.checkout,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
        )
        try:
            first = self._read_event("first")
            self.first = {"start": time.perf_counter() - started, "building": first["building"]}
            if keep:
                self._read_event("ready")
        except BaseException:
            self.end()
            raise

    def run_round(self) -> Figures:
        """Run one round and return its figures.

        Raises:
            ContenderFailed: The process ended.
        """
        assert self._process.stdin is not None
        self._process.stdin.write("round\n")
        self._process.stdin.flush()
        return self._read_event("round")

    def kill(self) -> None:
        """Kill the process."""
        self._process.kill()
        self.end()

    def end(self) -> None:
        """Let the process end, and kill it after `EXIT_TIMEOUT` seconds."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(EXIT_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._log.close()

    def _read_event(self, name: str) -> Figures:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._log.seek(0)
            output = self._log.read().strip().splitlines() or ["no output"]
            raise ContenderFailed(output[-1])
        event: Figures = json.loads(line)
        assert event.pop("event") == name
        return event


class Rounds:
    """The processes of all contenders, and their measurements.

    The constructor starts the contenders one after the other and leaves out those that fail to start.

    Args:
        contenders: the contenders to run.
        workload: what they train.
        starts: number of times to start each contender, to time its first step; the last process stays for the rounds.
            Contenders that compile, and the machine's limit, are started only once.
        log: prints one line of progress.

    Attributes:
        failed: by contender's name, why it has no measurements.
        firsts: by contender's name, the seconds until the first step of each start.
        rounds: by contender's name, the figures of each round.
    """

    def __init__(
        self, contenders: Sequence[Contender], workload: Workload, starts: int, log: Callable[[str], object]
    ) -> None:
        self.failed: dict[str, str] = {}
        self.firsts: dict[str, list[dict[str, float]]] = {contender.name: [] for contender in contenders}
        self.rounds: dict[str, list[Figures]] = {contender.name: [] for contender in contenders}
        self._processes: list[ContenderProcess] = []
        for number in range(starts):
            for contender in contenders:
                self._start(contender, workload, keep=number == starts - 1, log=log)

    def _start(self, contender: Contender, workload: Workload, keep: bool, log: Callable[[str], object]) -> None:
        if contender.name in self.failed or not (keep or (contender.trains and not contender.compiles)):
            return
        try:
            process = ContenderProcess(contender, workload, keep)
        except ContenderFailed as error:
            self.failed[contender.name] = str(error)
            log(f"{contender.name}: not measured ({error})")
            return
        self.firsts[contender.name].append(process.first)
        log(f"{contender.name}: first step after {process.first['start']:.1f} s")
        if keep:
            self._processes.append(process)
        else:
            process.kill()

    def run_round(self) -> None:
        """Run one round of each contender; the order rotates by one each time."""
        for process in self._processes:
            self.rounds[process.contender.name].append(process.run_round())
        self._processes = [*self._processes[1:], *self._processes[:1]]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            process.end()
