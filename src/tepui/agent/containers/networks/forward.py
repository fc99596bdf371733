"""Connections into a container's network namespace, for port forwarding.

The agent itself never changes its namespace: a thread that lives for one socket does, and ends. A socket
belongs to the namespace that it was made in, whoever connects it.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import socket
import threading

from tepui.base.errors import HostError, Refused

CLONE_NEWNET = 0x40000000
PORT_MAX = 65_535
CONNECT_TIMEOUT_S = 10.0
# Where a program of the container that serves its own machine may listen.
LOOPBACKS = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))


async def connect(container: int | str, port: int) -> socket.socket:
    """A socket that is connected to what listens at `port` in the container.

    `container` is the pid of one of its processes, or the path of its network namespace. Raises Refused for
    a port that cannot be, HostError when the namespace is gone or nothing listens.
    """
    if not 1 <= port <= PORT_MAX:
        raise Refused(f"port {port} is not within 1 and {PORT_MAX}")
    path = f"/proc/{container}/ns/net" if isinstance(container, int) else container
    subject = f"port {port} of the container at '{path}'"
    fault: OSError | None = None
    for family, address in LOOPBACKS:
        try:
            made = await _made_inside(path, family)
        except OSError as error:
            raise HostError("connect to", subject, error.strerror or str(error)) from None
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await asyncio.get_running_loop().sock_connect(made, (address, port))
        except (OSError, TimeoutError) as error:
            made.close()
            fault = fault or error  # the first says more: IPv6 may be missing altogether
        except BaseException:
            made.close()
            raise
        else:
            return made
    number = None if fault is None else fault.errno
    cause = "it does not answer" if number is None else os.strerror(number)
    raise HostError("connect to", subject, cause)


async def forward(
    container: int | str, port: int
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Streams to and from what listens at `port` in the container; raises as `connect` does."""
    connected = await connect(container, port)
    try:
        return await asyncio.open_connection(sock=connected)
    except BaseException:
        connected.close()
        raise


async def _made_inside(path: str, family: int) -> socket.socket:
    loop = asyncio.get_running_loop()
    done: asyncio.Future[socket.socket] = loop.create_future()

    def give(made: socket.socket | OSError) -> None:
        if isinstance(made, OSError):
            if not done.done():
                done.set_exception(made)
        elif done.done():
            made.close()  # nobody waits any more
        else:
            done.set_result(made)

    def make() -> None:
        made: socket.socket | OSError
        try:
            made = _socket_inside(path, family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        except OSError as error:
            made = error
        try:
            loop.call_soon_threadsafe(give, made)
        except RuntimeError:  # the loop has ended meanwhile
            if not isinstance(made, OSError):
                made.close()

    threading.Thread(target=make, name="into-namespace", daemon=True).start()
    return await done


def made_inside_now(path: str, family: int, kind: int, protocol: int = 0) -> socket.socket:
    """A socket of that namespace, for callers that may block. Raises OSError."""
    made: list[socket.socket | OSError] = []

    def make() -> None:
        try:
            made.append(_socket_inside(path, family, kind, protocol))
        except OSError as error:
            made.append(error)

    thread = threading.Thread(target=make, name="into-namespace")
    thread.start()
    thread.join()
    (result,) = made
    if isinstance(result, OSError):
        raise result
    return result


def _socket_inside(path: str, family: int, kind: int, protocol: int = 0) -> socket.socket:
    """For a thread that ends after this: it stays in the other namespace."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(fd, CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        os.close(fd)
    return socket.socket(family, kind, protocol)
