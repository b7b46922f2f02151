"""Runs workers on Ray, each as an actor. Ray places actors by their resources and restarts them when a node is lost.

Actors, unlike tasks, can be detached: they outlive the process that submitted them. A restarted actor does not repeat a
job from its start: like any worker it takes a job that no other holds, and continues from its checkpoint.
"""

import os
import threading
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from mnist_resnet.config.launcher_schema import Ray
from mnist_resnet.errors import UsageError, wording
from mnist_resnet.launchers import devices
from mnist_resnet.launchers.devices import Placement
from mnist_resnet.launchers.engine import WorkerRequest
from mnist_resnet.launchers.node import NodeSupervisor, share_of_cores

NAMESPACE = "mnist_resnet"
"""Namespace of the actors' names, as shown by Ray's tools."""
FORWARDED_VARIABLES = ("MNIST_RESNET_", "WANDB_")
"""Prefixes of the environment variables that workers get from the submitting process. All others are the node's."""
MAX_DEFAULT_WORKERS = 32
"""Number of workers if neither the user nor the cluster's resources limit it."""
LOCAL = "local"
"""Ray's address of a cluster that it starts on this machine, and that ends with this process."""
READY_TIMEOUT = 5.0
"""Seconds for an actor that has started to report so."""


class RayEngine:
    """Submits actors to an existing Ray cluster, or to a local one that it starts.

    Args:
        settings: The cluster's address and the resources of each worker.
        jobs_per_device: Must be 1.
        detach: Whether the workers must outlive this process.

    Raises:
        UsageError: Ray is not installed, or does not support these settings.
    """

    def __init__(self, settings: Ray, jobs_per_device: int, detach: bool) -> None:
        if find_spec("ray") is None:
            raise UsageError("hydra.launcher.engine=ray: needs Ray, which is missing: pip install -e '.[ray]'")
        if jobs_per_device != 1:
            raise UsageError(
                f"hydra.launcher.jobs_per_device={jobs_per_device}: workers on Ray share a GPU by requesting "
                f"a fraction of it; take hydra.launcher.ray.num_gpus={1 / jobs_per_device:g}"
            )
        self._settings, self._address = settings, settings.address or os.environ.get("RAY_ADDRESS") or LOCAL
        if detach and self._address == LOCAL:
            raise UsageError(
                "sweep.detach=true: a Ray cluster started for this command ends with it; start a lasting one "
                "(ray start --head) and take hydra.launcher.ray.address=auto, or hydra.launcher.engine=local"
            )

    def default_workers(self, jobs: int) -> int:
        """Return how many workers fit into the cluster's current resources, at most one for each job."""
        import ray

        self._connect()
        available, settings = ray.cluster_resources(), self._settings
        per_worker = {"CPU": settings.num_cpus, "GPU": settings.num_gpus, **(settings.resources or {})}
        fitting = [int(available.get(name, 0) / amount) for name, amount in per_worker.items() if amount]
        return min(jobs, max(1, min(fitting, default=MAX_DEFAULT_WORKERS)))

    def submit(self, request: WorkerRequest) -> "RaySubmission":
        """Submit actors.

        Raises:
            UsageError: No Ray cluster answers.
        """
        import ray

        self._connect()
        settings = self._settings
        options = {
            "num_cpus": settings.num_cpus,
            "num_gpus": settings.num_gpus,
            "resources": dict(settings.resources or {}),
        }
        options |= {"namespace": NAMESPACE, "lifetime": "detached", "max_restarts": -1}
        actor_class = ray.remote(WorkerActor)
        environment = {key: value for key, value in os.environ.items() if key.startswith(FORWARDED_VARIABLES)}
        environment |= share_of_cores(settings.num_cpus, 1)
        actors = {}
        for number in range(1, request.workers + 1):
            name = f"{request.launch}-{number}"
            actors[name] = actor_class.options(name=name, **options).remote(request, number, environment)
        return RaySubmission(actors, self._address, environment)

    def _describe_address(self) -> str:
        is_from_environment = self._settings.address is None and self._address != LOCAL
        return f"RAY_ADDRESS={self._address}" if is_from_environment else f"hydra.launcher.ray.address={self._address}"

    def _connect(self) -> None:
        import ray

        if ray.is_initialized():
            return
        is_local = self._address == LOCAL
        local = {"num_cpus": devices.usable_cores(), "include_dashboard": False} if is_local else {}
        try:
            ray.init(
                address=self._address,
                namespace=NAMESPACE,
                log_to_driver=False,
                logging_level="ERROR",
                **local,
            )
        except (ConnectionError, ValueError, RuntimeError) as error:
            reason = wording(error)
            raise UsageError(f"{self._describe_address()}: no Ray answers ({reason})") from None


class WorkerActor:
    """A Ray actor that runs one worker, in a separate process.

    Args:
        request: The launch's request.
        number: Number of the worker.
        environment: Environment variables of the worker.
    """

    def __init__(self, request: WorkerRequest, number: int, environment: Mapping[str, str]) -> None:
        self._supervisor = NodeSupervisor(request, number, 1, Placement("Ray", dict(environment)))
        threading.Thread(target=self._run, daemon=True).start()

    def end(self) -> None:
        """Ask the worker to end after a checkpoint."""
        self._supervisor.end()

    def _run(self) -> None:
        import ray

        try:
            self._supervisor.run()
        finally:
            ray.kill(ray.get_runtime_context().current_actor, no_restart=True)


class RaySubmission:
    """Submitted actors.

    Args:
        actors: The actors' handles by name.
        address: Address of the cluster, or `LOCAL`.
        environment: Environment variables of the workers.
    """

    def __init__(self, actors: Mapping[str, Any], address: str, environment: Mapping[str, str]) -> None:
        self._actors, self._address, self._environment = actors, address, environment

    def describe(self) -> str:
        """Return a human-readable description of the workers."""
        workers = f"{len(self._actors)} worker{'s' * (len(self._actors) != 1)}"
        where = "started for this command, ends with it" if self._address == LOCAL else self._address
        return f"{workers} on Ray ({where}){devices.ignored_threads(self._environment)}"

    def alive(self) -> int | None:
        """Return how many workers run or are pending; None if Ray does not answer."""
        from ray.util import list_named_actors

        try:
            return len(self._actors.keys() & set(list_named_actors()))
        except Exception:
            return None

    def pending_reason(self) -> str | None:
        """Return None: Ray does not say."""
        return None

    def cancel_pending(self) -> None:
        """Cancel the workers that have not started, or not been restarted."""
        self._cancel_pending()

    def end(self) -> None:
        """Ask all workers to end after a checkpoint, and cancel those that have not started."""
        for actor in self._cancel_pending():
            actor.end.remote()

    def _cancel_pending(self) -> list[Any]:
        """Cancel the actors that have not started; return the others."""
        import ray

        actors = {actor.__ray_ready__.remote(): actor for actor in self._actors.values()}
        ready, pending = ray.wait(list(actors), num_returns=len(actors), timeout=READY_TIMEOUT)
        for reference in pending:
            ray.kill(actors[reference], no_restart=True)
        return [actors[reference] for reference in ready]
