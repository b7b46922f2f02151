"""A contender's side of a benchmark: it trains, and the pace says when to go on, and tells what came of it.

A contender runs in a process of its own, so that several stay warm side by side and take turns. It reads one line for
each round from its input and writes one JSON object a line to its output.
"""

import json
import time
from collections.abc import Callable
from typing import Any, TextIO


class Finished(SystemExit):
    """Nobody asks for a further round."""


class Pace:
    """Counts steps into rounds.

    Args:
        asked: where requests for rounds are read from; its end ends the contender.
        told: where events are written.
        images: in a round; also trained before the first one, to warm up.
        synchronise: waits for the device.
    """

    def __init__(self, asked: TextIO, told: TextIO, images: int, synchronise: Callable[[], None]) -> None:
        self._asked, self._told, self._wanted, self._synchronise = asked, told, images, synchronise
        self._is_warm = self._has_stepped = False
        self._images, self._excluded = 0, 0.0
        self._started = self._began_building = time.perf_counter()

    def imported(self) -> None:
        """All imports are done; now the data are loaded and the network is built."""
        self._began_building = time.perf_counter()

    def first_step(self) -> None:
        """A first step's loss is known on the host; later calls do nothing."""
        if not self._has_stepped:
            self._has_stepped = True
            self.tell("first", building=time.perf_counter() - self._began_building)

    def step(self, images: int) -> None:
        """A step with so many images was done, or begun on the device."""
        if not self._has_stepped:
            self._synchronise()
            self.first_step()
        self._images += images
        if self._images >= self._wanted:
            self._synchronise()
            self.round_ended(self._images, time.perf_counter() - self._started - self._excluded)

    def exclude(self, seconds: float) -> None:
        """So many seconds of this round went into something else than training."""
        self._excluded += seconds

    def round_ended(self, images: int, seconds: float) -> None:
        """Tell a round's figures, or that it was the one to warm up with, and wait for the next.

        Raises:
            Finished: there is no next.
        """
        if self._is_warm:
            self.tell("round", images=images, seconds=seconds)
        else:
            self._is_warm = True
            self.tell("ready")
        self.wait()

    def wait(self) -> None:
        """Wait until a round is asked for, and start it.

        Raises:
            Finished: none will be.
        """
        if not self._asked.readline():
            raise Finished
        self._images, self._excluded = 0, 0.0
        self._started = time.perf_counter()

    def tell(self, event: str, **figures: Any) -> None:
        """Write an event."""
        self._told.write(json.dumps({"event": event, **figures}) + "\n")
        self._told.flush()
