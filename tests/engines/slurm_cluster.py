"""A temporary Slurm cluster of two nodes on this machine: real daemons on the loopback interface, without systemd.

Each node has its own process namespace: its processes end with it, and other nodes notice that only by missing
heartbeats, as between machines. Two partitions share the nodes: jobs of `high` preempt jobs of `low`, which are
requeued; `short` has a limit of one minute. There is no accounting.
"""

import os
import random
import secrets
import shutil
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

REQUEUED_AFTER = 10
"""Seconds until a preempted task may restart: its credential must have expired (2 minutes by default)."""
PROGRAMS = ("slurmctld", "slurmd", "sbatch", "srun", "squeue", "munged", "unshare")
MAX_ARRAY_SIZE = 100
"""Most tasks in an array."""
PORTS = range(20_000, 32_000)
KILL_WAIT = 10
"""Seconds between Slurm's SIGTERM and its SIGKILL."""


def unavailable_reason() -> str | None:
    """Return why no cluster can be started here; None if it can."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        return f"{', '.join(missing)} not installed (apt-get install slurm-wlm munge)"
    return None if os.geteuid() == 0 else "Slurm's daemons must run as root"


@dataclass
class SlurmCluster:
    """A running cluster.

    Attributes:
        folder: Folder of its configuration, logs and sockets.
        daemons: Its processes by name.
    """

    folder: Path
    daemons: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables of Slurm's commands."""
        return {"SLURM_CONF": str(self.folder / "slurm.conf")}

    def ask(self, *command: str) -> str:
        """Run one of Slurm's commands; return its output."""
        environment = os.environ | self.environment
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def states(self) -> list[str]:
        """Return the states of all tasks in the queue, running or pending."""
        return self.ask("squeue", "--noheader", "--array", "--format=%T").split()

    def send_time_limit_signal(self) -> None:
        """Send the signal that Slurm sends before the time limit to a running task, if there is one."""
        running = self.ask("squeue", "--noheader", "--states=RUNNING", "--partition=low", "--format=%A").split()
        for job in running[:1]:
            self.ask("scancel", "--signal=USR2", job)

    def log(self) -> str:
        """Return the controller's log."""
        return (self.folder / "slurmctld.log").read_text()

    def lose(self, node: str) -> None:
        """Kill a node's daemon and all its processes."""
        daemon = self.daemons.pop(node)
        daemon.kill()
        daemon.wait()


def start(cluster: SlurmCluster, cpus: int) -> None:
    """Start the daemons, and wait until both nodes are idle."""
    folder = cluster.folder
    (folder / "munge.key").write_bytes(secrets.token_bytes(1024))
    (folder / "munge.key").chmod(0o400)
    munge = {"socket": "munge.socket", "key-file": "munge.key", "pid-file": "munge.pid"}
    munge |= {"log-file": "munge.log", "seed-file": "munge.seed"}
    cluster.daemons["munged"] = _daemon(
        cluster, "munged", "--foreground", "--force", *(f"--{key}={folder / name}" for key, name in munge.items())
    )
    _wait_for((folder / "munge.socket").exists, "munged")
    (folder / "slurm.conf").write_text(_configuration(folder, cpus))
    for gpu in range(cpus):
        # Slurm needs a device file for each GPU; a copy of /dev/null will do.
        os.mknod(folder / f"gpu{gpu}", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    (folder / "gres.conf").write_text(f"Name=gpu File={folder}/gpu[0-{cpus - 1}]\n")
    cluster.daemons["slurmctld"] = _daemon(cluster, "slurmctld", "-D")
    for node in ("n1", "n2"):
        # Killing unshare kills all processes in its namespace.
        isolation = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
        cluster.daemons[node] = _daemon(cluster, *isolation, "slurmd", "-D", "-N", node)
    _wait_for(lambda: _idle_nodes(cluster) == 2, "both nodes")


@contextmanager
def slurm_cluster(cpus: int = 1) -> Iterator[SlurmCluster]:
    """Run a cluster of two nodes that claim to have so many CPUs, and as many GPUs, each."""
    # Socket paths must be short.
    folder = Path(tempfile.mkdtemp(prefix="slurm", dir="/tmp"))
    folder.chmod(0o700)
    cluster = SlurmCluster(folder)
    try:
        start(cluster, cpus)
        yield cluster
    finally:
        _stop(cluster)
        shutil.rmtree(folder, ignore_errors=True)


def _stop(cluster: SlurmCluster) -> None:
    for daemon in reversed(cluster.daemons.values()):
        daemon.kill()
        daemon.wait()


def _daemon(cluster: SlurmCluster, *command: str) -> subprocess.Popen[bytes]:
    with (cluster.folder / f"{Path(command[0]).name}.{len(cluster.daemons)}.out").open("wb") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=os.environ | cluster.environment,
            start_new_session=True,
        )


def _configuration(folder: Path, cpus: int) -> str:
    host = socket.gethostname().partition(".")[0]
    control, first, second = _free_ports(3)
    common = f"NodeHostname={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=4000 Gres=gpu:{cpus} State=UNKNOWN"
    return f"""
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={control}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire={REQUEUED_AFTER}
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
GresTypes=gpu
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1
MpiDefault=none
ReturnToService=2
MaxArraySize={MAX_ARRAY_SIZE}
SlurmdTimeout=10
SlurmdParameters=config_overrides
KillWait={KILL_WAIT}
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName=n1 Port={first} {common}
NodeName=n2 Port={second} {common}
PartitionName=low Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=REQUEUE
PartitionName=short Nodes=n1,n2 MaxTime=1 State=UP PriorityTier=1 PreemptMode=OFF
PartitionName=high Nodes=n1,n2 MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
"""


def _idle_nodes(cluster: SlurmCluster) -> int:
    environment = os.environ | cluster.environment
    command = ["sinfo", "--noheader", "--Node", "--partition=low", "--format=%T"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    return done.stdout.split().count("idle")


def _free_ports(count: int) -> list[int]:
    """Return free ports below those that the system gives to whoever asks for any, who would get one meanwhile."""
    found: list[int] = []
    for port in random.SystemRandom().sample(PORTS, len(PORTS)):
        with socket.socket() as opened, suppress(OSError):
            opened.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == count:
            break
    return found


def _wait_for(condition: Callable[[], bool], name: str, timeout: float = 300) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"timed out waiting for {name}"
        time.sleep(0.1)
