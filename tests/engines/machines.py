"""Machines on this machine: namespaces for network, host name and processes, joined to a server by a cable each.

A process on one of them sees no process of another one and reaches nothing but the server; pulling a cable partitions
it. All end with the process that started them.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = ("ip", "nsenter", "unshare")
SERVER = "server"
UNSHARED = ("--net", "--uts", "--pid", "--mount")


def unavailable_reason() -> str | None:
    """Return why no machines can be made here; None if they can."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        return f"{', '.join(missing)} not installed (apt-get install iproute2 util-linux)"
    tried = subprocess.run(["unshare", *UNSHARED, "--fork", "true"], capture_output=True, text=True, check=False)
    return tried.stderr.strip() if tried.returncode else None


@dataclass(frozen=True)
class Machine:
    """A machine.

    Attributes:
        name: Its host name.
        number: From 0, the server's.
        folder: Where what runs there writes its output.
        init: The process with which the machine ends.
        pid: The first process inside, as seen from outside.
    """

    name: str
    number: int
    folder: Path
    init: subprocess.Popen[bytes]
    pid: int

    @property
    def address(self) -> str:
        """The server's address, as this machine reaches it."""
        return f"10.213.{self.number}.1"

    def begin(self, *command: str, log: str | None = None, **environment: str) -> "Process":
        """Start a command on the machine; its output goes to the end of a log."""
        file = self.folder / f"{log or Path(command[0]).name}-{self.name}.txt"
        with file.open("ab") as output:
            process = subprocess.Popen(
                ["nsenter", f"--target={self.pid}", *UNSHARED, "--", *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=os.environ | environment,
                cwd=self.folder,
                start_new_session=True,
            )
        return Process(process, file)

    def run(self, *command: str) -> None:
        """Run a command on the machine that ends soon."""
        done = self.begin(*command)
        assert done.ended(60) == 0, f"{command}: {done.output()}"

    def plug(self, is_in: bool) -> None:
        """Pull the cable to the server out, or put it back in."""
        self.run("ip", "link", "set", "cable", "up" if is_in else "down")


@dataclass(frozen=True)
class Process:
    """A process on a machine.

    Attributes:
        process: The process outside of the machine that waits for it.
        log: The file with its output.
    """

    process: subprocess.Popen[bytes]
    log: Path

    def ended(self, timeout: float = 300) -> int:
        """Wait for the end; return the exit code."""
        self.wait_for(lambda: self.process.poll() is not None, timeout)
        return int(self.process.wait())

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process."""
        os.killpg(self.process.pid, number)

    def kill(self) -> None:
        """Kill the process, and wait until it is gone."""
        self.send(signal.SIGKILL)
        self.process.wait()

    def output(self) -> str:
        """Return what it has printed."""
        return self.log.read_text(errors="replace")

    def wait_for(self, condition: Callable[[], object], timeout: float = 300) -> None:
        """Wait until the condition holds."""
        wait_for(condition, timeout, self.output)


def wait_for(condition: Callable[[], object], timeout: float, describe: Callable[[], str]) -> None:
    """Wait until the condition holds; timeout in seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"timed out:\n{describe()}"
        time.sleep(0.1)


@contextmanager
def machines(folder: Path, names: tuple[str, ...]) -> Iterator[Mapping[str, Machine]]:
    """Run a server and the machines with these names, each joined to it by a cable of its own."""
    started: dict[str, Machine] = {}
    try:
        for number, name in enumerate((SERVER, *names)):
            started[name] = _start(name, number, folder)
        for machine in list(started.values())[1:]:
            _join(started[SERVER], machine)
        yield started
    finally:
        for machine in reversed(started.values()):
            machine.init.kill()
            machine.init.wait()


def _start(name: str, number: int, folder: Path) -> Machine:
    # Killing unshare kills all processes in its namespace. /run is empty: what daemons leave there goes, too.
    script = f"hostname {name} && ip link set lo up && mount -t tmpfs tmpfs /run && exec sleep infinity"
    init = subprocess.Popen(
        ["unshare", *UNSHARED, "--mount-proc", "--fork", "--kill-child", "sh", "-c", script],
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    children = Path(f"/proc/{init.pid}/task/{init.pid}/children")
    wait_for(children.read_text, 20, lambda: name)
    pid = int(children.read_text())
    wait_for(lambda: b"infinity" in Path(f"/proc/{pid}/cmdline").read_bytes(), 20, lambda: name)
    return Machine(name, number, folder, init, pid)


def _join(server: Machine, machine: Machine) -> None:
    there = f"to-{machine.number}"
    # In the server's network, but where the machine's process can be seen.
    cable = ["ip", "link", "add", there, "type", "veth", "peer", "name", "cable", "netns", str(machine.pid)]
    subprocess.run(["nsenter", f"--target={server.pid}", "--net", *cable], check=True)
    network = f"10.213.{machine.number}"
    for where, device, address in ((server, there, f"{network}.1/24"), (machine, "cable", f"{network}.2/24")):
        where.run("ip", "address", "add", address, "dev", device)
        where.run("ip", "link", "set", device, "up")
