"""A training function of a user's own as a task: thirty lines of anybody's code become a job."""

import math
import operator
import time
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from typing import Any

from mnist_resnet.config.levels import flatten
from mnist_resnet.config.metric import RESERVED, Metric, declared_metrics, primary_metric
from mnist_resnet.config.schema import JobConfig
from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import LOG, Metrics
from mnist_resnet.jobs.checkpoint import State
from mnist_resnet.jobs.progress import Diverged
from mnist_resnet.jobs.random_states import random_states, seed_everything, set_random_states
from mnist_resnet.jobs.read_config import ReadConfig
from mnist_resnet.jobs.signals import Interrupted
from mnist_resnet.jobs.task_run import TaskRun
from mnist_resnet.stored_file import append_stored
from mnist_resnet.tracking.console import duration
from mnist_resnet.tracking.guarded import GuardedTracker

Function = Callable[[ReadConfig, "Run"], object]


class FunctionTask:
    """Carries out jobs by calling a training function with the job's config and its `Run`.

    Args:
        build: Imports the function and returns it, with the arguments that the config gives it.
    """

    def __init__(self, build: Callable[[], Function]) -> None:
        self._build = build

    def check_machine(self, config: JobConfig) -> None:
        """Check that this machine has the device that the config asks for.

        Raises:
            UsageError: It does not.
        """
        assert config.task is not None
        device = config.task.device
        if device not in ("auto", "cpu") and device not in _devices():
            raise UsageError(f"task.device={device}: not on this machine, which has {', '.join(_devices())}")

    def check_data(self, config: JobConfig) -> None:
        """Do nothing: the function loads its data itself."""

    def check_recipe(self, config: JobConfig) -> None:
        """Do nothing: only the function knows what a trial of it would take."""

    def run(self, run: TaskRun) -> None:
        """Call the function; all that it reports and saves goes through its `Run`."""
        function = self._build()
        seed_everything(run.config.seed)
        config = ReadConfig(deepcopy(run.job.config))  # a function that changes its own leaves the record as it is
        own = Run(run)
        with run.checkpoints.closing():
            returned = function(config, own)
        if not own.history:
            what = "" if returned is None else f" a {type(returned).__name__}"
            raise UsageError(
                f"{run.config.task.target}: returned{what} without a report; call run.report(step, metrics)"
            )
        if run.config.sweep.keep == "checkpoint" and own._state is not None:
            run.keep_checkpoint(own._packed)
        reported = {name: int(line["step"]) for line in own.history for name in line}
        run.writer.note(*(f"metrics.{name}: was never reported" for name in run.config.metrics if name not in reported))
        run.writer.note(*_missing_in_the_last(own, reported))
        run.writer.note(*(f"{key}: nothing read it" for key in config.unread(IGNORED)))


def _missing_in_the_last(run: "Run", reported: Mapping[str, int]) -> Iterator[str]:
    """Say of metrics that the last report lacks which value counts, by the last step with each."""
    last = run.history[-1]
    for name, step in reported.items():
        if name not in last and getattr(run._declared.get(name), "pick", "last") == "last":
            yield f"{name}: not in the last report, of step {int(last['step'])}; its last value, of step {step}, counts"


IGNORED = ("seed", "task", "tracking", "sweep", "metrics", "comparisons", "claims", "scale")
"""Sections that are read by us, or by nobody where a task has no use for them."""

UNSAVED = 60.0
"""Seconds without a save, at least, after which that is said: the first one comes after the first step."""


class Run:
    """A job as its training function sees it.

    Attributes:
        folder: The job folder; the function may write files of its own there.
        seed: The job's seed. Python's, NumPy's and, if it is imported, PyTorch's global generators are seeded with it.
        history: What the function has reported so far, in this attempt or before it.
    """

    def __init__(self, run: TaskRun) -> None:
        self._run = run
        self.folder, self.seed = run.folder, int(run.config.seed)
        self.history: list[Metrics] = []
        self.batch_losses: list[Any] = []
        self._device = (run.numerics or {}).get("device")
        self._state: State | Callable[[], State] | None = None
        self._saves = 0
        self._declared = declared_metrics(run.job.config)
        self._keys = {*run.job.choices, *flatten(run.job.config)}
        self._primary = primary_metric(run.job.config)
        self._has_begun = self._has_resumed = self._has_state = False
        self._said: set[str] = set()
        self._began_at = self._reported_at = time.monotonic()

    @property
    def device(self) -> str:
        """The device to train on, as PyTorch names it. PyTorch is imported only if this is asked for."""
        if self._device is None:
            asked = self._run.config.task.device
            self._device = _devices()[0] if asked == "auto" else asked
        if self._run.writer.result["numerics"] != (numerics := {"device": self._device}):
            self._run.writer.result["numerics"] = numerics
        return str(self._device)

    def resume(self) -> Any:
        """Return the state that was saved last, or None if the job starts from scratch; call it first of all.

        What was reported after that state is forgotten. Global random generators continue where they were.
        """
        if self._has_begun:
            raise ValueError("run.resume(): must come before anything is saved or reported")
        self._has_resumed = True
        restored, lines = self._run.load_state()
        if restored is not None:
            self._has_state = True
            self.history = list(restored["history"])
            set_random_states(restored["random"], self._torch_device())
        self._begin()
        for line in lines:
            self._run.console.log(f"  {line}")
        return restored["state"] if restored is not None else None

    def save(self, state: Any) -> None:
        """Offer a state to continue from; call it wherever it is safe to stop, such as after each step.

        Args:
            state: Numbers, text, tensors, NumPy arrays and containers of them, such as `state_dict()` returns; or a
                function that returns them. It is copied if a checkpoint is due (`task.checkpoint_interval`).

        Raises:
            ValueError: It is None, which `resume` returns where there is no state.
            Interrupted: The job must stop. The state has been saved; let this pass.
        """
        self._begin()
        self._state = state
        self._saves += 1
        self._run.checkpoints.step_ended(self._saves, self._packed)
        if not self._has_resumed:
            self._say("run.resume() was not called: a job that is interrupted starts over")
        try:
            self._run.stop.check()
        except Interrupted:
            self._run.checkpoints.write_now(self._packed)
            raise

    def report(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Report the metrics after some step of the training: an epoch, an episode, a batch.

        Args:
            step: Where the training is, a whole number from 0 on, counted as the function likes, but always upwards.
            metrics: Numbers by name.

        Raises:
            ValueError: The step or a metric is none of these.
            Diverged: The metric that decides which report is the best one is not finite.
            Pruned: A search has stopped the trial; let this pass.
        """
        self._begin()
        line = self._line(step, metrics)
        if self._primary and not math.isfinite(line.get(self._primary.name, 0.0)):
            raise Diverged(None, int(line["step"]), line[self._primary.name], self._primary.name)
        self.history.append(line)
        waited = max(self._run.checkpoints.interval, UNSAVED)
        if not (self._saves or self._has_state) and self._reported_at - self._began_at >= waited:
            self._say(f"nothing saved in {duration(waited)}: a job that is interrupted before run.save starts over")
        for callback in self._run.callbacks:
            callback.epoch(line)

    def stop_requested(self) -> bool:
        """Return whether the job should stop soon; the next `save` raises."""
        try:
            self._run.stop.check()
        except Interrupted:
            return True
        return False

    def log(self, line: str) -> None:
        """Show a line, and add it to the job's `train.log`."""
        self._run.console.log(f"  {line}")
        with append_stored(self.folder / LOG) as file:
            file.write(f"{line}\n")

    def _say(self, line: str) -> None:
        """Show a line once, and record it."""
        if line not in self._said:
            self._said.add(line)
            self._run.console.log(f"  {line}")
            self._run.writer.note(line)

    def _begin(self) -> None:
        """Tell everybody that the job begins, once it is known whether it goes on from a state."""
        if self._has_begun:
            return
        run, self._has_begun = self._run, True
        run.writer.start(self, None, None, run.numerics or {}, self._torch_device())
        run.start(self, [GuardedTracker(run.config.tracking.node())])
        run.begin(1, None, list(self.history), [])

    def _line(self, step: int, metrics: Mapping[str, Any]) -> Metrics:
        step = _step(step)
        if not isinstance(metrics, Mapping):
            raise ValueError(f"report: metrics are numbers by name, such as {{'loss': 0.1}}, and not {metrics!r}")
        if self.history and step <= self.history[-1]["step"]:
            raise ValueError(
                f"report(step={step}): steps count upwards, and the last one was {self.history[-1]['step']}"
            )
        now = time.monotonic()
        seconds, self._reported_at = now - self._reported_at, now
        line: Metrics = {"step": step}
        for name, value in metrics.items():
            if not isinstance(name, str) or not name.strip() or name in RESERVED:
                raise ValueError(f"report: {name!r} is not the name of a metric; choose another one")
            if name in self._keys:
                raise ValueError(f"report: {name!r} is a group or a key of the config; choose another name")
            line[name] = _number(name, value, self._declared.get(name))
        return line | {"seconds": seconds}

    def _packed(self) -> State:
        state = self._state() if callable(self._state) else self._state
        if state is None:
            raise ValueError(
                "run.save: the state is None, which run.resume() returns where there is none; save another"
            )
        return {"state": state, "history": self.history, "random": random_states(self._torch_device())}

    def _torch_device(self) -> str:
        return str(self._device or "cpu")


def _step(step: Any) -> int:
    try:
        number = -1 if isinstance(step, bool) else operator.index(step)
    except TypeError:
        number = -1
    if number < 0:
        raise ValueError(f"report(step={step!r}): a step is a whole number from 0 on, such as that of the epoch")
    return number


def _number(name: str, value: Any, metric: Metric | None) -> float:
    try:
        number = value if type(value) in (int, float) else float(value)
    except (TypeError, ValueError):
        raise ValueError(f"report: {name}={value!r} is not a number") from None
    if metric is not None and not metric.allows(number):
        raise ValueError(f"report: {name}={number:g} is declared {metric.possible}")
    return number


def _devices() -> list[str]:
    """Return the devices of this machine, the fastest first; without PyTorch there is the CPU alone."""
    try:
        import torch
    except ImportError:
        return ["cpu"]
    found = [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    found = ["cuda", *found] if found else []
    return [*found, *(["mps"] if torch.backends.mps.is_available() else []), "cpu"]
