"""A training function as a user writes one: plain Python, no PyTorch."""

import multiprocessing
import os
import pickle
import random
import signal
import sys
import time
from collections.abc import Iterator
from typing import Any

from mnist_resnet.jobs.function_task import Run
from mnist_resnet.jobs.read_config import ReadConfig
from mnist_resnet.jobs.signals import ignore_stops


def descend(config: ReadConfig, run: Run, rate: float = 0.1, stop_after: int | None = None) -> None:
    """Descend a parabola in noisy steps, report every second one; `stop_after` asks the program to end in a step."""
    state: dict[str, Any] = run.resume() or {"step": 0, "x": random.uniform(1, 2), "seen": (0,)}
    if run.history and stop_after is not None:
        stop_after = None
    while state["step"] < 8:
        state["x"] -= rate * (2 * state["x"] + random.gauss(0, 0.1))
        state["step"] += 1
        state["seen"] = (*state["seen"], state["step"])
        if state["step"] % 2 == 0:
            run.report(state["step"], {"loss": state["x"] ** 2, "has_torch": "torch" in sys.modules})
        if state["step"] == stop_after:
            run._run.stop._interrupt.request("the test")  # type: ignore[attr-defined]
        run.save(state)
    run.report(9, {"loss": state["x"] ** 2, "steps": len(state["seen"]), "width": config.net.width})


class Items:
    """Items of which the second one is never read to its end; `waits` is set while it is."""

    def __init__(self) -> None:
        self.waits = multiprocessing.Event()

    def __len__(self) -> int:
        return 100

    def __getitem__(self, index: int) -> int:
        if index == 1:
            self.waits.set()
            time.sleep(60)
        return index


def read_with_a_loader(_: ReadConfig, run: Run, stopped: bool) -> None:
    """Read with a `DataLoader` of its own, whose process gets a SIGTERM, and if `stopped` this one, too."""
    from torch.utils.data import DataLoader

    step, items = run.resume() or 0, Items()
    run.save(step)
    run.report(step, {"loss": 1.0})
    for _batch in DataLoader(items, num_workers=1):  # type: ignore[arg-type]
        if step == 0:
            # Between two items it may hold a lock for which PyTorch would wait without end, here.
            assert items.waits.wait(30)
            (reader,) = multiprocessing.active_children()
            os.kill(int(reader.pid or 0), signal.SIGTERM)
            if stopped:
                os.kill(os.getpid(), signal.SIGTERM)
            reader.join(30)
        step += 1
    run.save(step)


def read_on(_: ReadConfig, run: Run) -> None:
    """Read with a `DataLoader` whose process leaves it to this one to stop; both get a SIGTERM before it saves."""
    from torch.utils.data import DataLoader

    begun = run.resume() or 0
    loader: DataLoader[int] = DataLoader(range(begun + 1, 9), num_workers=1, worker_init_fn=ignore_stops)  # type: ignore[arg-type]
    for step in map(int, loader):
        if not begun and step == 1:
            for process in (*multiprocessing.active_children(), multiprocessing.current_process()):
                os.kill(int(process.pid or 0), signal.SIGTERM)
        run.report(step, {"loss": 1.0})
        if step % 4 == 0:
            run.save(step)


def leave(_: ReadConfig, run: Run, to: str, scale: float) -> None:
    """Change the working directory."""
    run.save(0)
    os.chdir(to)
    run.report(0, {"loss": scale * run.seed})
    run.save(1)


def divide_by_zero(_: ReadConfig, run: Run) -> None:
    """Fail in its own code."""
    run.report(0, {"loss": 1 / run.history.count({})})


def explode(_: ReadConfig, run: Run) -> None:
    """Report a loss that is not a number."""
    run.report(0, {"loss": 1.0})
    run.report(1, {"loss": float("nan")})


def report_once(_: ReadConfig, run: Run, step: Any, name: Any, value: float = 1.0) -> None:
    """Report one line."""
    run.report(step, {name: value})


def hold_a_lock(_: ReadConfig, run: Run) -> None:
    """Save what no checkpoint can hold."""
    run.save({"lock": run})
    run.report(0, {"loss": 1.0})


def stay_silent(_: ReadConfig, __: Run) -> None:
    """Report nothing."""


def change_config(config: ReadConfig, run: Run, sizes: list[int]) -> None:
    """Change what can be changed in the config, and in a copy of it that another process could get."""
    config.task.sizes.append(3)
    sizes.append(3)
    run.report(0, {"loss": len(pickle.loads(pickle.dumps(config)).task.sizes)})
    config.task.rate = 0.3


def start_over(_: ReadConfig, run: Run) -> None:
    """Save, and never ask for what was saved."""
    run.report(0, {"loss": 1.0})
    run.save(0)


def save_nothing(_: ReadConfig, run: Run) -> None:
    """Save a state that can't be told from none."""
    run.save(lambda: None)


def report_a_number(_: ReadConfig, run: Run) -> None:
    """Report a metric without a name."""
    run.report(0, 0.5)  # type: ignore[arg-type]


def generate(_: ReadConfig, run: Run) -> Iterator[int]:
    """Report in a generator, which nobody runs."""
    run.report(0, {"loss": 1.0})
    yield 0


def report_often(_: ReadConfig, run: Run, reports: int) -> None:
    """Report after each of many short steps."""
    for step in range(reports):
        run.report(step, {"loss": 1 / (step + 1)})


class Descent:
    """A trainer as a class, which no task is."""

    def __init__(self, rate: float = 0.1) -> None:
        self.rate = rate


def rate_first(rate: float, run: Run) -> None:
    """Take an argument of the config where a task gets the config itself."""
