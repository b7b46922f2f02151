"""A Ray cluster of two nodes on this machine, on loopback alone, ended afterwards.

Ray listens on the machine's network address wherever it finds one. So all of it lives in a network namespace that has
loopback alone, and so must whoever talks to it (`RayCluster.inside`). Each node has a process table of its own, so that
its processes end with it, and others learn of their end by their silence alone, as between machines.
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
"""In a network namespace of its own, so that nobody else has it."""
OBJECT_STORE = 80_000_000
"""Bytes; the least that Ray takes, and more than is needed."""


def why_not() -> str | None:
    """Why no cluster can be started here; None: it can."""
    if find_spec("ray") is None:
        return "Ray is not installed (pip install -e '.[ray]')"
    missing = [name for name in ("unshare", "nsenter", "ip") if shutil.which(name) is None]
    if missing:
        return f"{', '.join(missing)} not installed (apt-get install util-linux iproute2)"
    tried = subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False)
    return "no network namespace may be made here" if tried.returncode else None


@dataclass
class RayCluster:
    """A cluster that runs.

    Attributes:
        folder: with its logs and sockets.
        network: the process that keeps the network namespace.
        nodes: `head` and `n2`.
    """

    folder: Path
    network: subprocess.Popen[bytes]
    nodes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """Variables that Ray's processes and clients need."""
        return {
            "RAY_AUTH_MODE": "disabled",
            "RAY_USAGE_STATS_ENABLED": "0",
            # Seconds and tries after which a node that is silent is given up.
            "RAY_health_check_period_ms": "1000",
            "RAY_health_check_failure_threshold": "3",
            "RAY_health_check_timeout_ms": "3000",
            "RAY_health_check_initial_delay_ms": "0",
        }

    @property
    def address(self) -> str:
        """For `ray.init`."""
        return f"127.0.0.1:{PORT}"

    def inside(self, *command: str) -> list[str]:
        """The command that runs `command` where the cluster is."""
        return ["nsenter", f"--net=/proc/{self.network.pid}/ns/net", *command]

    def lose(self, node: str) -> None:
        """Kill a node: its daemon, and every process that it started."""
        process = self.nodes.pop(node)
        process.kill()
        process.wait()

    def add(self, node: str, cpus: int, *options: str) -> None:
        """Start a node, and wait until it is there."""
        own = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
        ray = (sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats")
        size = (f"--num-cpus={cpus}", f"--num-gpus={cpus}", f"--object-store-memory={OBJECT_STORE}")
        file = self.folder / f"{node}.out"
        with file.open("wb") as output:
            self.nodes[node] = subprocess.Popen(
                self.inside(*own, *ray, *size, *options),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=os.environ | self.environment,
                start_new_session=True,
            )
        until = time.monotonic() + 60
        while "Ray runtime started" not in file.read_text():
            assert time.monotonic() < until, file.read_text()
            assert self.nodes[node].poll() is None, file.read_text()
            time.sleep(0.1)


@contextmanager
def ray_cluster(cpus: int = 1) -> Iterator[RayCluster]:
    """A cluster of two nodes that pretend to have so many CPUs each, and as many GPUs."""
    # Sockets have short names.
    folder = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp"))
    keep = "ip link set lo up && echo && exec sleep infinity"
    network = subprocess.Popen(["unshare", "--net", "sh", "-c", keep], stdout=subprocess.PIPE)
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
