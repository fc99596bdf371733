"""Addresses of hosts, as people write them."""

from __future__ import annotations

from typing import Final

from tepui.base.errors import Refused

PORT_MAX: Final = 65_535


def address_of(text: str, name: str) -> tuple[str, int]:
    """Host and port of `host:port`, an IPv6 address in brackets. Raises Refused, with the name."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    is_number = port.isascii() and port.isdecimal() and len(port) <= len(str(PORT_MAX))
    if not host or not is_number or not 0 < int(port) <= PORT_MAX:
        raise Refused(f"{name} '{text}' is not host:port, with a port from 1 to {PORT_MAX}")
    try:
        host.encode("idna")
    except UnicodeError:
        raise Refused(f"{name} '{text}': '{host}' is not the name of a host") from None
    return host, int(port)
