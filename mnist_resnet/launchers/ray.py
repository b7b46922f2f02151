"""Workers on Ray: each an actor, which Ray places where its resources are, and starts anew when its node is lost.

Actors can be detached from the process that submitted them, and go on when it is gone; plain tasks would end with it.
One that Ray starts anew runs no job from its start: like any worker it takes what nobody holds, from its checkpoint.
"""

import os
import threading
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from mnist_resnet.config.schema import Ray
from mnist_resnet.errors import UsageError
from mnist_resnet.launchers import devices
from mnist_resnet.launchers.devices import Placement
from mnist_resnet.launchers.engine import WorkerRequest
from mnist_resnet.launchers.node import NodeSupervisor, share_of_cores

NAMESPACE = "mnist_resnet"
"""Of the actors' names, for Ray's own tools."""
HANDED_ON = ("MNIST_RESNET_", "WANDB_")
"""Variables of the submitting process that the workers get too, by their beginning; the rest is the node's."""
MOST = 32
"""Workers, where neither a person nor the cluster says how many."""
ANSWER = 5.0
"""Seconds that an actor which has started gets to say so."""


class RayEngine:
    """Submits actors to a cluster that runs, or to a local one that it starts.

    Args:
        settings: where it is, and what each worker is given.
        jobs_per_device: 1.
        detach: whether the workers must outlive this process.

    Raises:
        UsageError: Ray is missing here, or it can't be had with these settings.
    """

    def __init__(self, settings: Ray, jobs_per_device: int, detach: bool) -> None:
        if find_spec("ray") is None:
            raise UsageError("hydra.launcher.engine=ray: needs Ray, which is missing: pip install -e '.[ray]'")
        if jobs_per_device != 1:
            raise UsageError(
                f"hydra.launcher.jobs_per_device={jobs_per_device}: Ray's workers share a GPU by a fraction of it; "
                f"take hydra.launcher.ray.num_gpus={1 / jobs_per_device:g}"
            )
        if detach and settings.address is None:
            raise UsageError(
                "sweep.detach=true: a Ray that is started for this command ends with it; start one that stays "
                "(ray start --head) and take hydra.launcher.ray.address=auto, or hydra.launcher.engine=local"
            )
        self._settings = settings

    def usual(self, jobs: int) -> int:
        """As many as fit into the cluster as it is now, one for each job at most."""
        import ray

        self._connect()
        there, each = ray.cluster_resources(), self._settings
        request = {"CPU": each.num_cpus, "GPU": each.num_gpus, **each.resources}
        fit = [int(there.get(name, 0) / amount) for name, amount in request.items() if amount]
        return min(jobs, max(1, min(fit, default=MOST)))

    def submit(self, request: WorkerRequest) -> "RaySubmission":
        """Submit actors.

        Raises:
            UsageError: no Ray answers.
        """
        import ray

        self._connect()
        settings = self._settings
        options = {"num_cpus": settings.num_cpus, "num_gpus": settings.num_gpus, "resources": dict(settings.resources)}
        options |= {"namespace": NAMESPACE, "lifetime": "detached", "max_restarts": -1}
        post = ray.remote(WorkerActor)
        handed_on = {key: value for key, value in os.environ.items() if key.startswith(HANDED_ON)}
        handed_on |= share_of_cores(settings.num_cpus, 1)
        actors = {}
        for number in range(1, request.workers + 1):
            name = f"{request.launch}-{number}"
            actors[name] = post.options(name=name, **options).remote(request, number, handed_on)
        return RaySubmission(actors, settings.address)

    def _connect(self) -> None:
        import ray

        if ray.is_initialized():
            return
        address = self._settings.address
        local = {"num_cpus": devices.usable_cores(), "include_dashboard": False} if address is None else {}
        try:
            ray.init(
                address=address or "local",
                namespace=NAMESPACE,
                log_to_driver=False,
                logging_level="ERROR",
                **local,
            )
        except (ConnectionError, ValueError, RuntimeError) as error:
            said = " ".join(str(error).split())
            raise UsageError(f"hydra.launcher.ray.address={address or 'null'}: no Ray answers ({said})") from None


class WorkerActor:
    """What an actor is: one worker, in a process of its own.

    Args:
        request: of the launch.
        number: the worker's.
        environment: variables for it.
    """

    def __init__(self, request: WorkerRequest, number: int, environment: Mapping[str, str]) -> None:
        self._station = NodeSupervisor(request, number, 1, Placement("Ray", dict(environment)))
        threading.Thread(target=self._run, daemon=True).start()

    def end(self) -> None:
        """Ask the worker to end after a checkpoint."""
        self._station.end()

    def _run(self) -> None:
        import ray

        try:
            self._station.run()
        finally:
            ray.kill(ray.get_runtime_context().current_actor, no_restart=True)


class RaySubmission:
    """Actors.

    Args:
        actors: their handles, by their names.
        address: of the cluster; None: a local one.
    """

    def __init__(self, actors: Mapping[str, Any], address: str | None) -> None:
        self._actors, self._address = actors, address

    def describe(self) -> str:
        """What was submitted, in one line, for people."""
        workers = f"{len(self._actors)} worker{'s' * (len(self._actors) != 1)}"
        return f"{workers} on Ray ({self._address or 'started for this command, ends with it'})"

    def alive(self) -> int | None:
        """How many run or are still to start."""
        from ray.util import list_named_actors

        try:
            return len(self._actors.keys() & set(list_named_actors()))
        except Exception:
            return None

    def cancel_pending(self) -> None:
        """Let those that have not started, or not again, never do."""
        self._cancel_pending()

    def end(self) -> None:
        """Ask all to end after a checkpoint; those that have not started never do."""
        for actor in self._cancel_pending():
            actor.end.remote()

    def _cancel_pending(self) -> list[Any]:
        """Gives those that have started."""
        import ray

        asked = {actor.__ray_ready__.remote(): actor for actor in self._actors.values()}
        ready, unready = ray.wait(list(asked), num_returns=len(asked), timeout=ANSWER)
        for one in unready:
            ray.kill(asked[one], no_restart=True)
        return [asked[one] for one in ready]
