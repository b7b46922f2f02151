"""Contenders side by side, each warm in a process of its own, taking turns: what disturbs one disturbs all."""

import json
import subprocess
import tempfile
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from benchmarks.composed import ROOT
from benchmarks.contenders import Contender, Work, command

Figures = dict[str, Any]
PATIENCE = 30.0
"""Seconds in which a process that is asked to end has to."""


class Failed(Exception):
    """A contender ended by itself; the text is the last line of what it said."""


class Running:
    """The process of one contender.

    Attributes:
        first: seconds until its first step: `start` from the process's, `building` from the end of its imports.

    Args:
        contender: of `CONTENDERS`, or the machine's limit.
        work: what it does.
        stays: False if only its first step counts; it is not warmed up then.
    """

    def __init__(self, contender: Contender, work: Work, stays: bool = True) -> None:
        self.contender = contender
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed with the process)
        started = time.perf_counter()
        self._process = subprocess.Popen(
            command(contender, work),
            cwd=ROOT,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
        )
        try:
            first = self._event("first")
            self.first = {"start": time.perf_counter() - started, "building": first["building"]}
            if stays:
                self._event("ready")
        except BaseException:
            self.end()
            raise

    def round(self) -> Figures:
        """Let it do a round; gives what came of it."""
        assert self._process.stdin is not None
        self._process.stdin.write("round\n")
        self._process.stdin.flush()
        return self._event("round")

    def kill(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self.end()

    def end(self) -> None:
        """Ask it to end, and end it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._log.close()

    def _event(self, name: str) -> Figures:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._log.seek(0)
            said = self._log.read().strip().splitlines() or ["it said nothing"]
            raise Failed(said[-1])
        event: Figures = json.loads(line)
        assert event.pop("event") == name
        return event


class Rounds:
    """All contenders, started one after the other; those that can't run are left out and say why.

    Attributes:
        failed: by contender's name, why it has no figures.
        firsts: by name, the seconds until the first step of each start.
        rounds: by name, the figures of each round.
    """

    def __init__(self, contenders: Sequence[Contender], work: Work, starts: int, say: Any) -> None:
        self.failed: dict[str, str] = {}
        self.firsts: dict[str, list[dict[str, float]]] = {contender.name: [] for contender in contenders}
        self.rounds: dict[str, list[Figures]] = {contender.name: [] for contender in contenders}
        self._running: list[Running] = []
        for number in range(starts):
            for contender in contenders:
                self._start(contender, work, stays=number == starts - 1, say=say)

    def _start(self, contender: Contender, work: Work, stays: bool, say: Any) -> None:
        if contender.name in self.failed or not (stays or (contender.trains and not contender.compiles)):
            return
        try:
            running = Running(contender, work, stays)
        except Failed as failed:
            self.failed[contender.name] = str(failed)
            say(f"{contender.name}: not measured ({failed})")
            return
        self.firsts[contender.name].append(running.first)
        say(f"{contender.name}: first step after {running.first['start']:.1f} s")
        if stays:
            self._running.append(running)
        else:
            running.kill()

    def go_round(self) -> None:
        """A round of each; the next time another one begins."""
        for running in self._running:
            self.rounds[running.contender.name].append(running.round())
        self._running = [*self._running[1:], *self._running[:1]]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for running in self._running:
            running.end()
