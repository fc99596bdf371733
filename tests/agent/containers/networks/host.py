"""Machines for tests of networks: with plugins that only take notes, or a network namespace with real ones."""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tepui.agent.containers.networks import Networks, NetworkSettings
from tepui.agent.containers.networks.forward import CLONE_NEWNET, _made_inside
from tepui.agent.containers.networks.spec import NO_BRIDGE

PLUGINS = "/usr/lib/cni"
DEADLINE_S = 120.0
Json = dict[str, object]


class Machine:
    """Directories of one agent, and plugins of a test's own."""

    def __init__(self, directory: Path) -> None:
        self.configs = directory / "configs"
        self.plugins = directory / "plugins"
        self.state = directory / "state"
        self.log = directory / "log"
        self.configs.mkdir(exist_ok=True)
        self.plugins.mkdir(exist_ok=True)

    def plugin(self, *names: str) -> None:
        text = Path(__file__).with_name("plugin.py").read_text()
        for name in names:
            path = self.plugins / name
            path.write_text(f"#!{sys.executable} -ISX utf8\n{text}")
            path.chmod(0o755)

    def network(self, name: str, *plugins: Json, version: str = "1.0.0") -> None:
        """A network with these plugins; each is made when there is none of its type."""
        for one in plugins:
            self.plugin(str(one["type"]))
        listed = [one | {"log": str(self.log)} for one in plugins]
        whole = {"cniVersion": version, "name": name, "plugins": listed}
        (self.configs / f"{name}.conflist").write_text(json.dumps(whole))

    def networks(self, timeout_s: float = 30.0) -> Networks:
        settings = NetworkSettings(
            config_directory=str(self.configs),
            plugins_directories=(str(self.plugins),),
            bridge_subnet=NO_BRIDGE,
            plugin_timeout_s=timeout_s,
        )
        return Networks(settings, str(self.state))

    def lines(self) -> list[Json]:
        if not self.log.exists():
            return []
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def calls(self) -> list[tuple[str, str, str]]:
        """Command, network and plugin of each call."""
        found: list[tuple[str, str, str]] = []
        for line in self.lines():
            call, config = line.get("call"), line.get("config")
            if isinstance(call, dict) and isinstance(config, dict):
                found.append((call["CNI_COMMAND"], config["name"], config["type"]))
        return found

    def config(self, at: int) -> Json:
        """What the call at that place was given."""
        config = [line["config"] for line in self.lines() if "config" in line][at]
        assert isinstance(config, dict)
        return config

    def environment(self, at: int) -> Json:
        call = [line["call"] for line in self.lines() if "call" in line][at]
        assert isinstance(call, dict)
        return call


def address(text: str, gateway: str | None = None) -> Json:
    """A plugin's result with one address."""
    return {"cniVersion": "1.0.0", "ips": [{"address": text, "gateway": gateway}]}


def on_own_host(test: Callable[[], Coroutine[None, None, None]]) -> None:
    """Run the test with a network namespace that stands for a host of its own.

    Threads and processes that it starts inherit the namespace; it ends with the last of them.
    """
    for reason, there in (
        ("needs root", os.geteuid() == 0),
        (f"needs CNI plugins in {PLUGINS}", os.access(f"{PLUGINS}/bridge", os.X_OK)),
        ("needs iptables", shutil.which("iptables-restore") is not None),
        ("needs ip", shutil.which("ip") is not None),
    ):
        if not there:
            pytest.skip(reason)
    faults: list[BaseException] = []

    def run() -> None:
        try:
            unshare_network()
            ip("link set lo up")
            asyncio.run(asyncio.wait_for(test(), DEADLINE_S))
        except BaseException as fault:
            faults.append(fault)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if faults:
        raise faults[0]


def unshare_network() -> None:
    """The calling thread has a network namespace of its own."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        if number in (1, 22):
            pytest.skip("this machine makes no network namespaces")
        raise OSError(number, os.strerror(number))


def ip(command: str) -> str:
    return run("ip", *command.split())


def run(*argv: str) -> str:
    ended = subprocess.run(argv, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert ended.returncode == 0, f"{' '.join(argv)}: {ended.stderr}"
    return ended.stdout


class Container:
    """A process with a network namespace of its own."""

    def __init__(self) -> None:
        command = "ip link set lo up && echo ready && exec cat"
        self.process = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"ready\n"

    @property
    def namespace(self) -> str:
        return f"/proc/{self.process.pid}/ns/net"

    def ip(self, command: str) -> str:
        return run("nsenter", f"--net={self.namespace}", "ip", *command.split())

    def end(self) -> None:
        """It is gone, and with it its namespace."""
        self.process.kill()
        self.process.wait()
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()

    @asynccontextmanager
    async def serving(self, port: int, text: bytes, host: str = "0.0.0.0") -> AsyncIterator[None]:
        """Whoever connects to the port is told the text, and where it seems to come from."""

        async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            peer: tuple[str, int] = writer.get_extra_info("peername")
            writer.write(text + b" " + peer[0].encode())
            writer.close()

        listening = await _made_inside(self.namespace, socket.AF_INET)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        server = await asyncio.start_server(answer, sock=listening)
        try:
            yield
        finally:
            server.close()
            await server.wait_closed()

    async def ask(self, host: str, port: int) -> bytes:
        """What a server says to this container."""
        asking = await _made_inside(self.namespace, socket.AF_INET)
        return await _asked(asking, host, port)


async def ask(host: str, port: int) -> bytes:
    """What a server says to the host."""
    asking = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    return await _asked(asking, host, port)


async def _asked(asking: socket.socket, host: str, port: int) -> bytes:
    with asking:
        async with asyncio.timeout(20):
            await asyncio.get_running_loop().sock_connect(asking, (host, port))
            reader, writer = await asyncio.open_connection(sock=asking)
        try:
            return await reader.read()
        finally:
            writer.close()
            await writer.wait_closed()


def traces(addresses: Path) -> dict[str, list[str]]:
    """All that attaching a container may leave on the host."""
    rules = [
        line.partition(" [")[0]
        for line in run("iptables-save").splitlines()
        if not line.startswith("#")
    ]
    return {
        "links": [line.split()[1] for line in ip("-o link").splitlines()],
        "routes": [line.replace("linkdown", "").strip() for line in ip("route").splitlines()],
        "rules": sorted(rules),
        "addresses": sorted(
            path.name
            for path in addresses.rglob("*")
            if path.name[0].isdigit() and not path.is_dir()
        ),
    }
