"""A Docker Engine of its own for tests: its socket, data and networks are in a directory that goes with it."""

from __future__ import annotations

import contextlib
import io
import os
import select
import shutil
import signal
import socket
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import docker
import pytest
import requests

START_S = 60.0
END_S = 60.0
START_TRIES = 3
LOOK_S = 0.05
IMAGE = "box:1"  # a busybox, made here
CGROUPS = Path("/sys/fs/cgroup")
BUSYBOX = Path("/bin/busybox")
# Nobody routes these (RFC 2544): networks of the machine's own Engine have others.
BRIDGES = "198.18"  # another /24 for the Engine of each process: tests run in several
NETWORKS = "198.19.0.0/16"


class DockerEngine:
    """One Engine. It can be killed and started again; what it runs goes on meanwhile, unless it is told otherwise.

    With networks it has a bridge, without rules for it: ports are mapped by its own proxy.
    """

    def __init__(
        self, directory: Path, *, has_networks: bool = False, storage_driver: str = ""
    ) -> None:
        self.directory = directory
        self.bridge = f"tpd{os.getpid()}" if has_networks else ""
        self.subnet = f"{BRIDGES}.{os.getpid() % 256}"
        self.socket = str(directory / "docker.sock")
        self.cgroup = f"tepui-docker-{os.getpid()}"
        self.storage_driver = storage_driver  # '': what it chooses
        self.keeps_containers = True  # those that run when it ends; set before it is started
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """It answers. What it was when it was killed can keep it from starting the first time."""
        for _ in range(START_TRIES - 1):
            with contextlib.suppress(OSError):
                return self._start()
        return self._start()

    def _start(self) -> None:
        config = self.directory / "daemon.json"
        config.write_text("{}")  # not the machine's own
        if self.bridge and not Path("/sys/class/net", self.bridge).exists():
            _ip("link", "add", self.bridge, "type", "bridge")
            _ip("address", "add", f"{self.subnet}.1/24", "dev", self.bridge)
            _ip("link", "set", self.bridge, "up")
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    "dockerd",
                    f"--config-file={config}",
                    f"--host=unix://{self.socket}",
                    f"--data-root={self.directory}/data",
                    f"--exec-root={self.directory}/exec",
                    f"--pidfile={self.directory}/pid",
                    f"--cgroup-parent=/{self.cgroup}",
                    f"--bridge={self.bridge or 'none'}",
                    f"--default-address-pool=base={NETWORKS},size=24",
                    "--iptables=false",
                    "--ip6tables=false",
                    "--ip-forward=false",
                    "--ip-masq=false",
                    f"--live-restore={str(self.keeps_containers).lower()}",
                    *([f"--storage-driver={self.storage_driver}"] if self.storage_driver else []),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_S
        while True:
            if self._process.poll() is not None:
                raise OSError(f"dockerd ended: {self._last_line()}")
            if self._answers():
                return
            if time.monotonic() > deadline:
                self.kill()
                raise OSError(f"dockerd does not answer: {self._last_line()}")
            time.sleep(LOOK_S)  # it tells nobody when it is ready

    def _answers(self) -> bool:
        try:
            with contextlib.closing(socket.socket(socket.AF_UNIX)) as connection:
                connection.connect(self.socket)  # the library would not close its own if that fails
            with contextlib.closing(self.client()) as client:
                return bool(client.ping())
        except (docker.errors.DockerException, requests.RequestException, OSError):
            return False

    def client(self) -> docker.APIClient:
        """Return a connection, to be closed."""
        return docker.APIClient(base_url=f"unix://{self.socket}", version="auto", timeout=30)

    def kill(self) -> None:
        """It is gone, without a chance to end anything."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """It has ended in order; what it runs goes on if it is to keep that."""
        self._end(signal.SIGTERM)

    def clear(self) -> None:
        """It runs, and has no container, and no network that a test made."""
        if self._process is None:
            self.start()
        with contextlib.closing(self.client()) as client:
            for one in client.containers(all=True):
                client.remove_container(one["Id"], v=True, force=True)
            for network in client.networks():
                if network["Name"] not in ("bridge", "host", "none"):
                    client.remove_network(network["Id"])

    def _end(self, number: int) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(END_S)
            self._process = None

    def _last_line(self) -> str:
        lines = (self.directory / "log").read_text(errors="replace").splitlines()
        return lines[-1] if lines else "it said nothing"

    def remove(self) -> None:
        """Nothing is left of it: no process, mount, cgroup or file."""
        with contextlib.suppress(docker.errors.DockerException, requests.RequestException):
            self.clear()
        self.stop()
        cgroups = [place for place in CGROUPS.glob(f"*/{self.cgroup}") if place.is_dir()]
        for pid in {*self._pids(), *(pid for place in cgroups for pid in _pids_below(place))}:
            _kill_and_wait(pid)
        for mount in reversed(_mounts_below(self.directory)):
            subprocess.run(["umount", "--lazy", mount], check=False)
        for place in [*cgroups, CGROUPS / self.cgroup]:
            for inner in sorted(place.glob("**/"), reverse=True):
                inner.rmdir()
        if self.bridge:
            _ip("link", "delete", self.bridge)
        shutil.rmtree(self.directory)

    def _pids(self) -> list[int]:
        """Its containerd and their shims, if any was left by a kill."""
        found = []
        for one in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if os.fsencode(self.directory) in one.read_bytes():
                    found.append(int(one.parent.name))
        return found


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, timeout=END_S)


def _kill_and_wait(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        pidfd = os.pidfd_open(pid)
        try:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            select.select([pidfd], [], [], END_S)
        finally:
            os.close(pidfd)


def _pids_below(cgroup: Path) -> list[int]:
    """What runs in its containers, should it have died before them."""
    return [int(pid) for one in cgroup.glob("**/cgroup.procs") for pid in one.read_text().split()]


def _mounts_below(directory: Path) -> list[str]:
    places = [line.split(" ")[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    return [place for place in places if place.startswith(f"{directory}/")]


def why_not() -> str:
    """Return what the machine lacks; '' when an Engine can be started."""
    if os.geteuid() != 0:
        return "Docker Engine needs root"
    for program in ("dockerd", "containerd", "runc"):
        if shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is None:
            return f"there is no {program}"
    if (
        not BUSYBOX.exists()
        or subprocess.run(["ldd", BUSYBOX], capture_output=True, check=False).returncode == 0
    ):
        return f"there is no static {BUSYBOX}"
    return ""


@contextmanager
def docker_engine(
    *, has_networks: bool = False, storage_driver: str = ""
) -> Iterator[DockerEngine]:
    """An Engine that has the image IMAGE; the test is skipped where it does not start."""
    if missing := why_not():
        pytest.skip(missing)
    # Not below pytest's own directory: paths of sockets are short.
    place = Path(tempfile.mkdtemp(prefix="tepui-docker-"))
    engine = DockerEngine(place, has_networks=has_networks, storage_driver=storage_driver)
    try:
        try:
            engine.start()
        except OSError as error:
            pytest.skip(f"no Docker Engine can be started here: {error}")
        make_image(engine, IMAGE)
        yield engine
    finally:
        engine.remove()


def busybox_tree() -> bytes:
    """Return an archive with busybox, a shell, and who root and nobody are."""
    names = subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, check=True).stdout
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as archive:
        for directory in ("bin", "etc", "mnt", "tmp", "root"):
            entry = tarfile.TarInfo(directory)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if directory == "tmp" else 0o755
            archive.addfile(entry)
        archive.add(BUSYBOX.resolve(), "bin/busybox")
        for name in names.split():
            if name != "busybox":
                link = tarfile.TarInfo(f"bin/{name}")
                link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                archive.addfile(link)
        users = b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n"
        entry = tarfile.TarInfo("etc/passwd")
        entry.size, entry.mode = len(users), 0o644
        archive.addfile(entry, io.BytesIO(users))
    return written.getvalue()


def make_image(engine: DockerEngine, name: str, changes: tuple[str, ...] = ()) -> None:
    """The Engine has an image of that name; `changes` are lines of a Dockerfile."""
    repository, _, tag = name.rpartition(":")
    with contextlib.closing(engine.client()) as client:
        client.import_image_from_data(
            busybox_tree(), repository=repository, tag=tag, changes=list(changes)
        )
