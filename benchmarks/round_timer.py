"""Times a contender's training in rounds, on request of the benchmark's main process.

Each contender runs in its own process, so that several stay warm side by side and take turns. It reads one line from
its input for each requested round, and writes one JSON object per line to its output:

- `{"event": "first", "building": SECONDS}` after the first step,
- `{"event": "ready"}` after the warm-up round,
- `{"event": "round", "images": N, "seconds": SECONDS}` after each round.
"""

import json
import time
from collections.abc import Callable
from typing import Any, TextIO


class NoMoreRounds(SystemExit):
    """The main process requests no further round."""


class RoundTimer:
    """Counts a contender's steps into rounds and reports the time of each.

    Args:
        requests: input with one line per requested round; its end ends the contender.
        events: output for events.
        images: training images in a round, and in the warm-up round before the first.
        synchronise: waits until the device has finished its queued work.
    """

    def __init__(self, requests: TextIO, events: TextIO, images: int, synchronise: Callable[[], None]) -> None:
        self._requests, self._events, self._images_per_round = requests, events, images
        self._synchronise = synchronise
        self._is_warm = self._has_stepped = False
        self._images, self._excluded = 0, 0.0
        self._started = self._building_started = time.perf_counter()

    def imports_done(self) -> None:
        """Start timing the build phase: loading the data and building the network."""
        self._building_started = time.perf_counter()

    def first_step_done(self) -> None:
        """Report the end of the build phase, once the first step's loss is on the host; later calls do nothing."""
        if not self._has_stepped:
            self._has_stepped = True
            self.send("first", building=time.perf_counter() - self._building_started)

    def step(self, images: int) -> None:
        """Count a step on this many images, finished or queued on the device; end the round if it is complete.

        Raises:
            NoMoreRounds: The round was the last one.
        """
        if not self._has_stepped:
            self._synchronise()
            self.first_step_done()
        self._images += images
        if self._images >= self._images_per_round:
            self._synchronise()
            self.round_done(self._images, time.perf_counter() - self._started - self._excluded)

    def exclude(self, seconds: float) -> None:
        """Exclude time from this round that was not spent on training."""
        self._excluded += seconds

    def round_done(self, images: int, seconds: float) -> None:
        """Report a round, or the end of the warm-up round, and wait for the next request.

        Raises:
            NoMoreRounds: There is no further request.
        """
        if self._is_warm:
            self.send("round", images=images, seconds=seconds)
        else:
            self._is_warm = True
            self.send("ready")
        self.wait_for_request()

    def wait_for_request(self) -> None:
        """Wait until a round is requested, and start it.

        Raises:
            NoMoreRounds: There is no further request.
        """
        if not self._requests.readline():
            raise NoMoreRounds
        self._images, self._excluded = 0, 0.0
        self._started = time.perf_counter()

    def send(self, event: str, **figures: Any) -> None:
        """Write an event as one line of JSON."""
        self._events.write(json.dumps({"event": event, **figures}) + "\n")
        self._events.flush()


def synchronise(device: str) -> None:
    """Wait until `device` has finished its queued work."""
    import torch

    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)
