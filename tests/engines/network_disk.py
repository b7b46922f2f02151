"""Network disks of one server and several clients on this machine: GlusterFS without its management, and sshfs.

Each client is a machine of its own (`machines`), with the caches that the file system has by default.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.full_disk import fill_disk
from tests.engines.machines import SERVER, Machine, Process, machines, unavailable_reason, wait_for

PORT = 24007
PING_TIMEOUT = 5
"""Seconds until a client gives up waiting for the server (GlusterFS's default is 42), and its calls fail."""
PROGRAMS = {"glusterfs": ("glusterfs", "glusterfsd"), "sshfs": ("sshfs", "sshd", "ssh-keygen")}
PACKAGES = {"glusterfs": "glusterfs-server", "sshfs": "sshfs openssh-server"}
CACHES = ("write-behind", "quick-read", "open-behind", "md-cache")
"""GlusterFS's translators on the client that are on by default."""


def missing(kind: str) -> str | None:
    """Return why there can be no disk of this kind here; None if there can."""
    programs = [name for name in PROGRAMS[kind] if shutil.which(name) is None]
    if programs:
        return f"{', '.join(programs)} not installed (apt-get install {PACKAGES[kind]})"
    if os.geteuid() != 0 or not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "a network disk can be mounted by root alone, where there is /dev/fuse"
    return unavailable_reason()


@dataclass
class NetworkDisk:
    """A disk that a server exports, mounted at one path on each client.

    Attributes:
        kind: `glusterfs` or `sshfs`.
        folder: Of its configuration and logs.
        clients: The machines that have mounted it, by name.
        server: The machine whose disk it is.
        daemon: The process that exports it.
    """

    kind: str
    folder: Path
    clients: Mapping[str, Machine]
    server: Machine
    daemon: Process | None = field(default=None)

    @property
    def mounted(self) -> Path:
        """Where the clients see it."""
        return self.folder / "mounted"

    @property
    def brick(self) -> Path:
        """The files as they lie on the server: what is written there is what all clients agree on."""
        return self.folder / "brick"

    def start(self) -> None:
        """Let the server export the disk."""
        self.daemon = (_start_glusterfs if self.kind == "glusterfs" else _start_sshd)(self)

    def stop(self) -> None:
        """Kill the server's process."""
        if self.daemon:
            self.daemon.kill()

    def fill(self) -> Path:
        """Leave no room on the disk; return the file that takes it."""
        filler = self.brick / "filler"
        fill_disk(filler)
        return filler

    def mount(self, client: Machine, **environment: str) -> None:
        """Mount the disk on a client."""
        if self.kind == "glusterfs":
            volume = _written(self.folder / f"{client.name}.vol", _glusterfs_client(client.address))
            options = ("--volfile", str(volume), "--log-file", str(self.folder / f"mount-{client.name}.log"))
            client.begin("glusterfs", *options, "--no-daemon", str(self.mounted), log="mount", **environment)
        else:
            settings = {"Port": PORT, "IdentityFile": self.folder / "key", "ServerAliveInterval": PING_TIMEOUT}
            settings |= {"ServerAliveCountMax": 1, "StrictHostKeyChecking": "no", "UserKnownHostsFile": "/dev/null"}
            given = [f"-o{name}={value}" for name, value in settings.items()]
            there = f"{client.address}:{self.brick}"
            client.begin("sshfs", "-f", *given, "-oreconnect", there, str(self.mounted), log="mount")
        wait_for(lambda: self._is_mounted(client), 60, self.logs)

    def logs(self) -> str:
        """Return what the server and the clients have printed."""
        logs = [*self.folder.glob("*.log"), *self.folder.glob("*.txt")]
        return "\n".join(f"--- {log.name}\n{log.read_text(errors='replace')[-3000:]}" for log in sorted(logs))

    def _is_mounted(self, client: Machine) -> bool:
        return client.begin("mountpoint", "--quiet", str(self.mounted)).process.wait() == 0


@contextmanager
def network_disk(kind: str, folder: Path, names: tuple[str, ...] = ("one", "two")) -> Iterator[NetworkDisk]:
    """Run a server that exports a disk of 64 MiB, and clients that have mounted it."""
    for name in ("mounted", "brick"):
        (folder / name).mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder / "brick")], check=True)
    try:
        with machines(folder, names) as started:
            disk = NetworkDisk(kind, folder, {name: started[name] for name in names}, started[SERVER])
            disk.start()
            for client in disk.clients.values():
                disk.mount(client)
            yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(folder / "brick")], check=True)


def _start_glusterfs(disk: NetworkDisk) -> Process:
    volume = _written(disk.folder / "brick.vol", _glusterfs_server(disk.brick))
    options = ("--volfile", str(volume), "--log-file", str(disk.folder / "brick.log"))
    daemon = disk.server.begin("glusterfsd", *options, "--no-daemon")
    _wait_for_port(disk)
    return daemon


def _start_sshd(disk: NetworkDisk) -> Process:
    key, folder = disk.folder / "key", disk.folder
    if not key.exists():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    disk.server.run("mkdir", "-p", "/run/sshd")
    settings = {"Port": PORT, "HostKey": key, "AuthorizedKeysFile": f"{key}.pub", "PidFile": "none"}
    settings |= {"StrictModes": "no", "UsePAM": "no", "PasswordAuthentication": "no", "PermitRootLogin": "yes"}
    settings |= {"Subsystem": "sftp internal-sftp"}
    file = _written(folder / "sshd_config", "".join(f"{name} {value}\n" for name, value in settings.items()))
    daemon = disk.server.begin("/usr/sbin/sshd", "-D", "-e", "-f", str(file))
    _wait_for_port(disk)
    return daemon


def _wait_for_port(disk: NetworkDisk) -> None:
    listening = f":{PORT:04X} 00000000:0000 0A"
    tables = [Path(f"/proc/{disk.server.pid}/net/{name}") for name in ("tcp", "tcp6")]
    wait_for(lambda: any(listening in table.read_text() for table in tables), 60, disk.logs)


def _glusterfs_server(brick: Path) -> str:
    volumes = [
        _volume("posix", "storage/posix", directory=str(brick)),
        _volume("locks", "features/locks", "posix"),
        _volume("brick", "performance/io-threads", "locks"),
    ]
    listen = {"transport.socket.listen-port": str(PORT), "auth.addr.brick.allow": "*"}
    return "\n".join([*volumes, _volume("server", "protocol/server", "brick", **{"transport-type": "tcp"}, **listen)])


def _glusterfs_client(server: str) -> str:
    options = {"transport-type": "tcp", "remote-host": server, "remote-port": str(PORT), "remote-subvolume": "brick"}
    volumes = [_volume("client", "protocol/client", **options, **{"ping-timeout": str(PING_TIMEOUT)})]
    for below, name in zip(("client", *CACHES), CACHES, strict=False):
        volumes.append(_volume(name, f"performance/{name}", below))
    return "\n".join(volumes)


def _volume(name: str, kind: str, *below: str, **options: str) -> str:
    lines = [f"type {kind}", *(f"option {key} {value}" for key, value in options.items())]
    lines += [f"subvolumes {' '.join(below)}"] if below else []
    return "\n".join([f"volume {name}", *(f"  {line}" for line in lines), "end-volume", ""])


def _written(file: Path, content: str) -> Path:
    file.write_text(content)
    return file
