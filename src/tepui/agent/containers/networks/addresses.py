"""Which addresses of the bridge are given to whom: one symbolic link each, from the address to the container.

The directory is of the machine, not of an agent: agents of one machine share the bridge. A link is made or not,
never half. It does not survive a reboot, and neither do the containers.
"""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import os
from collections.abc import Iterator
from contextlib import contextmanager

from tepui.base.errors import HostError

LAST = "last"  # a link to the address that was given last


def take(
    directory: str, subnet: ipaddress.IPv4Network, container_id: str, wished: str | None
) -> ipaddress.IPv4Address:
    """An address that nobody else has, until it is released; the wished one, when one is wished.

    Addresses go round, so that one is not given again while neighbours still know whose it was.
    """
    with _locked(directory):
        taken = set(os.listdir(directory))
        if wished is not None:
            chosen = _wished(subnet, wished, taken)
        else:
            chosen = _next(subnet, _last(directory, subnet), taken)
            _link(directory, LAST, str(chosen))
        _link(directory, str(chosen), container_id)
    return chosen


def release(directory: str, container_id: str) -> None:
    """The container has no address."""
    if not os.path.isdir(directory):
        return
    with _locked(directory):
        for name in os.listdir(directory):
            path = os.path.join(directory, name)
            if name != LAST and _target(path) == container_id:
                os.unlink(path)


def gateway_of(subnet: ipaddress.IPv4Network) -> ipaddress.IPv4Address:
    """The bridge's own address: the first."""
    return subnet.network_address + 1


def _next(
    subnet: ipaddress.IPv4Network, last: ipaddress.IPv4Address, taken: set[str]
) -> ipaddress.IPv4Address:
    first, end = gateway_of(subnet) + 1, subnet.broadcast_address
    size = int(end) - int(first)
    begin = int(last) + 1 - int(first)
    for step in range(size):
        candidate = first + (begin + step) % size
        if str(candidate) not in taken:
            return candidate
    raise HostError("take an address of", f"'{subnet}'", f"all {size} are given")


def _wished(subnet: ipaddress.IPv4Network, wished: str, taken: set[str]) -> ipaddress.IPv4Address:
    operation, subject = "take the address", f"'{wished}'"
    try:
        address = ipaddress.IPv4Address(wished)
    except ValueError:
        raise HostError(operation, subject, "it is no IPv4 address") from None
    if not gateway_of(subnet) < address < subnet.broadcast_address:
        raise HostError(operation, subject, f"it is not one of '{subnet}' for containers")
    if str(address) in taken:
        raise HostError(operation, subject, "another container has it")
    return address


def _last(directory: str, subnet: ipaddress.IPv4Network) -> ipaddress.IPv4Address:
    try:
        last = ipaddress.IPv4Address(_target(os.path.join(directory, LAST)))
    except ValueError:
        return gateway_of(subnet)
    return last if last in subnet else gateway_of(subnet)


def _link(directory: str, name: str, target: str) -> None:
    path = os.path.join(directory, name)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    os.symlink(target, path)


def _target(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


@contextmanager
def _locked(directory: str) -> Iterator[None]:
    """Short: whoever has the lock only makes and removes links."""
    try:
        os.makedirs(directory, mode=0o755, exist_ok=True)
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)
    except OSError as error:
        raise HostError("keep addresses in", f"'{directory}'", str(error)) from None
