"""Starts the launcher of a runtime directory, and connects to it."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import subprocess
import sys
from pathlib import Path

import msgspec
from msgspec import Struct

from tepui.agent import launcher
from tepui.agent.launcher import LOG_NAME, SOCKET_NAME
from tepui.base.errors import HostError

START_S = 60.0  # the launcher sweeps and waits for an ending one; each has its own, shorter limit
IDLE_S = 60.0
PROGRAM = Path(launcher.__file__).with_name("__main__.py")


class LauncherConfig(Struct, frozen=True, kw_only=True):
    """How the launcher of one agent is started. A running one keeps its own until it ends."""

    runtime_directory: str  # short-lived files: socket, log, exits; the agent's own
    cgroups: bool = True
    pids_max: int = 0  # of containers that name none; 0: half the machine's, but 16,384 at most
    cgroup_root: str = ""  # a path in the hierarchies; '': tepui/ and a digest of the directory
    idle_s: float = IDLE_S  # without containers and agent for so long, it ends


def cgroup_root_of(config: LauncherConfig) -> str:
    """Where in the hierarchies the launcher makes its cgroups: as asked for, or by its directory."""
    if config.cgroup_root:
        return config.cgroup_root
    digest = hashlib.sha1(os.fsencode(os.path.realpath(config.runtime_directory))).hexdigest()
    return f"tepui/{digest[:12]}"


async def start_launcher(config: LauncherConfig) -> None:
    """A launcher serves the directory: the one that did already, or a new one."""
    try:
        Path(config.runtime_directory).mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise HostError("make the directory", config.runtime_directory, str(error)) from None
    config = msgspec.structs.replace(config, cgroup_root=cgroup_root_of(config))
    # A thread, and plain subprocess: it uses vfork, where uvloop's would copy the agent's page tables.
    await asyncio.to_thread(_start, config)


def _start(config: LauncherConfig) -> None:
    command = [
        sys.executable,
        "-I",
        "-S",
        "-X",
        "utf8",
        str(PROGRAM),
        msgspec.json.encode(config).decode(),
    ]
    try:
        ended = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=START_S,
            env={"PATH": os.defpath},
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HostError(
            "start the launcher in", f"'{config.runtime_directory}'", str(error)
        ) from None
    if ended.returncode:
        reason = ended.stderr.decode(errors="replace").strip().splitlines() or ["it says no reason"]
        log = f"see '{config.runtime_directory}/{LOG_NAME}'"
        raise HostError(
            "start the launcher in", f"'{config.runtime_directory}'", f"{reason[-1]}; {log}"
        )


def open_socket(runtime_directory: str) -> socket.socket:
    """Return a socket connected to the launcher. Raises OSError when there is none."""
    # Reached through a descriptor: a path may be longer than the 107 bytes of a socket's address.
    directory_fd = os.open(runtime_directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(f"/proc/self/fd/{directory_fd}/{SOCKET_NAME}")
    except OSError:
        connection.close()
        raise
    finally:
        os.close(directory_fd)
    return connection
