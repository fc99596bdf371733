"""Chooses the ports of a cluster on this machine."""

from __future__ import annotations

import socket

from tepui.base.errors import Refused

STEP = 10  # from one range to the next
RANGES_MAX = 50  # that are tried before we give up


def is_free(ip: str, port: int) -> bool:
    """Whether one can listen there now."""
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ip, port))
        except PermissionError:
            raise Refused(f"port {port} of {ip}: only root may listen there") from None
        except OSError as error:
            if error.errno == 98:  # EADDRINUSE
                return False
            raise Refused(f"cannot listen on {ip}: {error.strerror}") from None
        return True


def taken_ports(ip: str, first: int, count: int) -> list[int]:
    """Those of the range that somebody listens on."""
    return [port for port in range(first, first + count) if not is_free(ip, port)]


def free_range(ip: str, first: int, count: int) -> int:
    """The first port of a range that is free, at or after `first`; raises Refused if none is."""
    step = max(STEP, -(-count // STEP) * STEP)
    for at in range(first, min(first + RANGES_MAX * step, 65536 - count), step):
        if not taken_ports(ip, at, count):
            return at
    raise Refused(f"no {count} free ports in a row at or after {first} of {ip}")
