"""The interface between jobs and training code: a task trains; a job leases, records and resumes it.

Nothing above this interface knows about images or classes. A task's code is loaded by name, and only here: the image
classifier's module, or a training function that a config names (`task._target_`).
"""

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast

from mnist_resnet.config.build import build
from mnist_resnet.config.metric import IMAGE_CLASSIFIER
from mnist_resnet.config.schema import JobConfig
from mnist_resnet.config.schema import Task as TaskSettings

if TYPE_CHECKING:
    from mnist_resnet.jobs.task_run import TaskRun


class Task(Protocol):
    """What a task offers; the image classifier's module has these functions."""

    def check_machine(self, config: Any) -> None:
        """Check before any job starts that this machine has what the config asks for.

        Raises:
            UsageError: It does not, for example no such device.
        """

    def check_data(self, config: Any) -> str | None:
        """Check before any job starts that the data can be loaded and fit the config.

        Returns:
            A hash of the data; None if the config says all about them, wherever they are stored.

        Raises:
            UsageError: They can't, or don't.
        """

    def check_recipe(self, config: Any) -> None:
        """Try before any job starts whether what the config names fits together, on as little data as that takes.

        Raises:
            UsageError: It doesn't; the message names the config's keys.
        """

    def run(self, run: "TaskRun") -> None:
        """Carry out one job, from its last checkpoint if it has one.

        Raises:
            Diverged: The loss is no longer finite.
            Pruned: A callback ended the job early.
            Interrupted: The program was asked to end; a checkpoint has been written.
        """


def load_task(config: JobConfig) -> Task:
    """Return a config's task; a training function is imported once a job starts."""
    if config.task is None or config.task.target == IMAGE_CLASSIFIER:
        return cast(Task, import_module(IMAGE_CLASSIFIER))
    from mnist_resnet.jobs.function_task import FunctionTask

    node = task_arguments(config.task.model_dump(by_alias=True))
    return FunctionTask(lambda: build(node))


def task_arguments(node: Mapping[str, Any]) -> dict[str, Any]:
    """Return what Hydra builds a task's function from: its target, and the keys that are arguments of it."""
    settings = [name for name in TaskSettings.model_fields if name != "target"]
    return {key: value for key, value in node.items() if key not in settings} | {"_partial_": True}
