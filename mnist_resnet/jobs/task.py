"""The interface between jobs and training code: a task trains; a job leases, records and resumes it.

Nothing above this interface knows about images or classes. The task's module is loaded by name, and only here.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

from mnist_resnet.config.schema import Config

if TYPE_CHECKING:
    from mnist_resnet.jobs.task_run import TaskRun

TASK = "mnist_resnet.training.image_classifier"
"""The module that carries out every job; it has the functions of `Task`."""


class Task(Protocol):
    """What a task's module offers."""

    def check_machine(self, config: Config) -> None:
        """Check before any job starts that this machine has what the config asks for.

        Raises:
            UsageError: It does not, for example no such device.
        """

    def check_data(self, config: Config) -> str | None:
        """Check before any job starts that the data can be loaded and fit the config.

        Returns:
            A hash of the data; None if the config says all about them, wherever they are stored.

        Raises:
            UsageError: They can't, or don't.
        """

    def check_recipe(self, config: Config) -> None:
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


def load_task() -> Task:
    """Import the task's module."""
    return cast(Task, import_module(TASK))
