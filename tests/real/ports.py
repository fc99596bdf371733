"""Ports for servers that are ended and started again: nobody else is given them meanwhile."""

from __future__ import annotations

import contextlib
import random
import socket

HOST = "127.0.0.1"
PORTS = range(10_000, 20_000)  # below those that connections are given


def free_ports(count: int) -> list[int]:
    """So many ports of this machine, on which nobody listens."""
    found: list[int] = []
    with contextlib.ExitStack() as stack:
        for port in random.sample(PORTS, len(PORTS)):
            probe = stack.enter_context(socket.socket())
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind((HOST, port))
                found.append(port)
            if len(found) == count:
                return found
    raise AssertionError(f"there are no {count} free ports")
