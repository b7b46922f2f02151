"""What jobs cost: seconds, by what ended ones took; and how long the rest of a sweep takes, the longest job first."""

import heapq
import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from mnist_resnet.config.schema import epochs_at
from mnist_resnet.job_folder import Status

WHOLE_SET = 60_000
"""Training images where the config leaves it to the data set: MNIST's number."""

NEITHER = ("root", "verify", "epochs", "checkpoint_interval", "checkpoint_every", "log_interval")
"""Keys of a config's nodes that say nothing of what an epoch costs."""


class CostModel:
    """What an epoch of a job costs, learnt from the jobs that have ended.

    Jobs are alike if their configs agree in model, data, optimiser and trainer, but for numbers with a fraction
    (rates, dropout), which move no work. Where none alike has ended, the cost is taken to be in proportion to epochs ×
    training images × parameters, at the rate of those that have.

    Args:
        parameters: how many a model's node has, 0 if it can't be built; None: networks are taken to be equally large.
    """

    def __init__(self, parameters: Callable[[str], int] | None = None) -> None:
        self._parameters = parameters
        self._seconds: dict[str, float] = defaultdict(float)
        self._epochs: dict[str, int] = defaultdict(int)
        self._known_seconds = self._known_work = 0.0
        self._kinds: dict[int, tuple[Mapping[str, Any], str]] = {}

    def learn(self, config: Mapping[str, Any], seconds: float) -> None:
        """A job of this config has ended after so many seconds, all its epochs done."""
        kind = self._kind(config)
        self._seconds[kind] += seconds
        self._epochs[kind] += epochs_of(config)
        self._known_seconds += seconds
        self._known_work += self._work(config)

    def seconds(self, config: Mapping[str, Any]) -> float | None:
        """How long a job of this config is expected to take; None: nothing is known yet."""
        kind = self._kind(config)
        if kind in self._epochs:
            return self._seconds[kind] / self._epochs[kind] * epochs_of(config)
        return self._work(config) * self._known_seconds / self._known_work if self._known_work else None

    def ranks(self, configs: Sequence[Mapping[str, Any]]) -> list[float]:
        """Which of these are longer than which: in seconds, or in work where nothing is known yet.

        A network that can't be built comes first: its job fails at once, and people want to know soon.
        """
        return [self._rank(config) for config in configs]

    def _rank(self, config: Mapping[str, Any]) -> float:
        if self._parameters is not None and not self._parameters(json.dumps(config["model"])):
            return math.inf
        expected = self.seconds(config)
        return self._work(config) if expected is None else expected

    def _kind(self, config: Mapping[str, Any]) -> str:
        # Configs are told apart by where they are: each is asked for again and again, and is kept from going away.
        known = self._kinds.get(id(config))
        if known is None:
            known = self._kinds[id(config)] = config, _kind(config)
        return known[1]

    def _work(self, config: Mapping[str, Any]) -> float:
        images = config.get("data", {}).get("train_size") or WHOLE_SET
        parameters = self._parameters(json.dumps(config["model"])) if self._parameters else 1
        return float(epochs_of(config) * images * max(1, parameters))


def seconds_taken(record: Mapping[str, Any]) -> float | None:
    """How long a job took, by the record of its attempt; None if that did not complete it, or an earlier did a part."""
    if record.get("status") != Status.COMPLETED or record.get("number") != 1 or not record.get("ended"):
        return None
    started, ended = (datetime.fromisoformat(record[key]) for key in ("started", "ended"))
    return (ended - started).total_seconds()


def epochs_of(config: Mapping[str, Any]) -> int:
    """Epochs that a job of this config trains."""
    return epochs_at(config.get("trainer", {}).get("epochs", 1), config.get("scale", {}).get("epochs", 1.0))


def time_to_end(begun: Iterable[float], waiting: Iterable[float], workers: int) -> float:
    """Seconds until the last of a sweep's jobs ends, if each worker that is free takes the longest one.

    Args:
        begun: seconds left of each job that is run now, one a worker.
        waiting: seconds of each job that is not.
        workers: how many there are; at least as many as jobs are run.
    """
    free = list(begun)
    free += [0.0] * max(0, workers - len(free))
    heapq.heapify(free)
    for seconds in sorted(waiting, reverse=True):
        heapq.heapreplace(free, free[0] + seconds)
    return max(free, default=0.0)


def _kind(config: Mapping[str, Any]) -> str:
    told = {name: _but_for_fractions(config.get(name)) for name in ("model", "data", "optim", "trainer")}
    return json.dumps(told, sort_keys=True)


def _but_for_fractions(node: Any) -> Any:
    if isinstance(node, dict):
        return {
            key: _but_for_fractions(value)
            for key, value in node.items()
            if not isinstance(value, float) and key not in NEITHER
        }
    return node
