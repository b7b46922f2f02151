"""A temporary Ray cluster of two nodes on this machine, on the loopback interface only.

Ray listens on the machine's network address if there is one. So the cluster runs in a network namespace with only a
loopback interface, and so must its clients (`RayCluster.inside`). Each node has its own process namespace: its
processes end with it, and other nodes notice that only by missing heartbeats, as between machines.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

PORT = 6379
"""Free, since the cluster has its own network namespace."""
OBJECT_STORE = 80_000_000
"""Bytes. Ray's minimum, and more than the tests need."""


def unavailable_reason() -> str | None:
    """Return why no cluster can be started here; None if it can."""
    if find_spec("ray") is None:
        return "Ray is not installed (pip install -e '.[ray]')"
    missing = [name for name in ("unshare", "nsenter", "ip") if shutil.which(name) is None]
    if missing:
        return f"{', '.join(missing)} not installed (apt-get install util-linux iproute2)"
    done = subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False)
    return "no permission to create a network namespace" if done.returncode else None


@dataclass
class RayCluster:
    """A running cluster.

    Attributes:
        folder: Folder of its logs and sockets.
        network: Process that holds the network namespace.
        nodes: Processes of the nodes `head` and `n2`.
    """

    folder: Path
    network: subprocess.Popen[bytes]
    nodes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables of Ray's processes and clients."""
        return {
            "RAY_AUTH_MODE": "disabled",
            "RAY_USAGE_STATS_ENABLED": "0",
            # A node counts as lost after 3 missed health checks, one each second.
            "RAY_health_check_period_ms": "1000",
            "RAY_health_check_failure_threshold": "3",
            "RAY_health_check_timeout_ms": "3000",
            "RAY_health_check_initial_delay_ms": "0",
        }

    @property
    def address(self) -> str:
        """The cluster's address for `ray.init`."""
        return f"127.0.0.1:{PORT}"

    def inside(self, *command: str) -> list[str]:
        """Return a command that runs `command` in the cluster's network namespace."""
        return ["nsenter", f"--net=/proc/{self.network.pid}/ns/net", *command]

    def lose(self, node: str) -> None:
        """Kill a node's daemon and all its processes."""
        process = self.nodes.pop(node)
        process.kill()
        process.wait()

    def add(self, node: str, cpus: int, *options: str) -> None:
        """Start a node, and wait until it runs."""
        isolation = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
        ray = (sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats")
        size = (f"--num-cpus={cpus}", f"--num-gpus={cpus}", f"--object-store-memory={OBJECT_STORE}")
        file = self.folder / f"{node}.out"
        with file.open("wb") as output:
            self.nodes[node] = subprocess.Popen(
                self.inside(*isolation, *ray, *size, *options),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=os.environ | self.environment,
                start_new_session=True,
            )
        deadline = time.monotonic() + 60
        while "Ray runtime started" not in file.read_text():
            assert time.monotonic() < deadline, file.read_text()
            assert self.nodes[node].poll() is None, file.read_text()
            time.sleep(0.1)


@contextmanager
def ray_cluster(cpus: int = 1) -> Iterator[RayCluster]:
    """Run a cluster of two nodes that claim to have so many CPUs, and as many GPUs, each."""
    # Socket paths must be short.
    folder = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp"))
    hold = "ip link set lo up && echo && exec sleep infinity"
    network = subprocess.Popen(["unshare", "--net", "sh", "-c", hold], stdout=subprocess.PIPE)
    cluster = RayCluster(folder, network)
    try:
        assert network.stdout is not None
        network.stdout.readline()
        head = ("--head", f"--port={PORT}", "--include-dashboard=false", f"--temp-dir={folder}")
        cluster.add("head", cpus, *head)
        cluster.add("n2", cpus, f"--address={cluster.address}")
        yield cluster
    finally:
        for process in [*cluster.nodes.values(), network]:
            process.kill()
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)
