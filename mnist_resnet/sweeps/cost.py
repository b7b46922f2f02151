"""Estimates how long jobs take, from the jobs that have ended, and how long the rest of a sweep takes."""

import heapq
import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from mnist_resnet.config.metric import is_image_classifier
from mnist_resnet.config.schema import epochs_at
from mnist_resnet.job_folder import Status, to_json

DEFAULT_TRAIN_SIZE = 60_000
"""Training images assumed where the config leaves the number to the data set: that of MNIST."""

COST_NEUTRAL_KEYS = ("root", "verify", "epochs", "checkpoint_interval", "checkpoint_every", "log_interval")
"""Config keys that do not change what an epoch costs."""


class CostModel:
    """Learns what an epoch costs from the jobs that have ended.

    Two jobs are alike if their configs agree in model, data, optimiser and trainer. Floats, such as rates and dropout,
    are ignored, because they do not change the work. If no job alike has ended, the cost is assumed to be proportional
    to epochs × training images × parameters, at the mean rate of the jobs that have.

    Args:
        parameters: returns the number of parameters of a model node given as JSON, 0 if it can't be built. None: all
            networks are assumed to be equally large.
    """

    def __init__(self, parameters: Callable[[str], int] | None = None) -> None:
        self._parameters = parameters
        self._seconds: dict[str, float] = defaultdict(float)
        self._epochs: dict[str, int] = defaultdict(int)
        self._total_seconds = self._total_work = 0.0
        self._keys: dict[int, tuple[Mapping[str, Any], str]] = {}

    def learn(self, config: Mapping[str, Any], seconds: float) -> None:
        """Add a job that trained all epochs of `config` in `seconds`."""
        key = self._key(config)
        self._seconds[key] += seconds
        self._epochs[key] += epochs_of(config)
        self._total_seconds += seconds
        self._total_work += self._work(config)

    def seconds(self, config: Mapping[str, Any]) -> float | None:
        """Return the expected duration of a job with this config in seconds; None before any job has ended."""
        key = self._key(config)
        if key in self._epochs:
            return self._seconds[key] / self._epochs[key] * epochs_of(config)
        return self._work(config) * self._total_seconds / self._total_work if self._total_work else None

    def ranks(self, configs: Sequence[Mapping[str, Any]]) -> list[float]:
        """Return a rank for each config: the higher, the longer the job.

        Ranks are seconds, or units of work before any job has ended. A network that can't be built ranks first: its
        job fails at once, and users want to know early.
        """
        return [self._rank(config) for config in configs]

    def _rank(self, config: Mapping[str, Any]) -> float:
        if self._parameters is not None and is_image_classifier(config) and not self._count(config):
            return math.inf
        expected = self.seconds(config)
        return self._work(config) if expected is None else expected

    def _key(self, config: Mapping[str, Any]) -> str:
        # Cached by the config's id, since each config is looked up many times. The cache keeps a reference to the
        # config, so that its id is not reused.
        cached = self._keys.get(id(config))
        if cached is None:
            cached = self._keys[id(config)] = config, _cost_key(config)
        return cached[1]

    def _work(self, config: Mapping[str, Any]) -> float:
        images = config.get("data", {}).get("train_size") or DEFAULT_TRAIN_SIZE
        return float(epochs_of(config) * images * max(1, self._count(config)))

    def _count(self, config: Mapping[str, Any]) -> int:
        """Return the number of parameters of an image classifier's network, if they are to be counted."""
        return self._parameters(to_json(config["model"])) if self._parameters and is_image_classifier(config) else 1


def seconds_taken(record: Mapping[str, Any]) -> float | None:
    """Return the duration of a job in seconds, from the record of its last attempt.

    None if that attempt did not complete the job, if an earlier attempt did a part of it, or if a time is missing.
    """
    started, ended = record.get("started"), record.get("ended")
    if record.get("status") != Status.COMPLETED or record.get("number") != 1 or not (started and ended):
        return None
    return (datetime.fromisoformat(ended) - datetime.fromisoformat(started)).total_seconds()


def epochs_of(config: Mapping[str, Any]) -> int:
    """Return the number of epochs that a job with this config trains."""
    return epochs_at(config.get("trainer", {}).get("epochs", 1), config.get("scale", {}).get("epochs", 1.0))


def time_to_end(running: Iterable[float], waiting: Iterable[float], workers: int) -> float:
    """Return the seconds until the last job ends, if each free worker takes the longest waiting job.

    Args:
        running: seconds left of each running job, one per worker.
        waiting: seconds of each job that is not running.
        workers: number of workers; at least the number of running jobs.
    """
    free_at = list(running)
    free_at += [0.0] * max(0, workers - len(free_at))
    heapq.heapify(free_at)
    for seconds in sorted(waiting, reverse=True):
        heapq.heapreplace(free_at, free_at[0] + seconds)
    return max(free_at, default=0.0)


def _cost_key(config: Mapping[str, Any]) -> str:
    names: Iterable[str] = ("model", "data", "optim", "trainer")
    if not is_image_classifier(config):
        names = config.keys() - {"seed", "sweep", "tracking", "metrics", "claims", "comparisons"}
    nodes = {name: _without_neutral_values(config.get(name)) for name in names}
    return json.dumps(nodes, sort_keys=True)


def _without_neutral_values(node: Any) -> Any:
    if isinstance(node, dict):
        return {
            key: _without_neutral_values(value)
            for key, value in node.items()
            if not isinstance(value, float) and key not in COST_NEUTRAL_KEYS
        }
    return node
