"""What containers find at /etc/hosts, /etc/hostname and /etc/resolv.conf (Mesos: docs/cni.md, network/cni/cni.cpp)."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tepui.agent.containers.networks.spec import Attached, Dns
from tepui.agent.containers.spec import Mount
from tepui.base.errors import HostError

ETC = "/etc"
# Where systemd-resolved keeps the resolvers that its own one at 127.0.0.53 asks.
RESOLVED = "/run/systemd/resolve/resolv.conf"
HOSTNAME_CHARS_MAX = 64  # of the kernel (HOST_NAME_MAX)
RESOLV_BYTES_MAX = 64 << 10
LOCALHOST = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"


def files_of_host_network(directory: str, hostname: str | None, etc: str = ETC) -> list[Mount]:
    """The host's own files, read only; with a name of its own the container has its own with that name."""
    if hostname is None or hostname == socket.gethostname():
        return [
            _mount(name, os.path.realpath(os.path.join(etc, name)), read_only=True)
            for name in ("hosts", "hostname", "resolv.conf")
            if os.path.isfile(os.path.join(etc, name))
        ]
    check_hostname(hostname)
    hosts = _read(os.path.join(etc, "hosts"))
    if hosts and not hosts.endswith("\n"):
        hosts += "\n"
    made = [
        _written(directory, "hosts", f"{hosts}127.0.1.1\t{hostname}\n"),
        _written(directory, "hostname", f"{hostname}\n"),
    ]
    resolv = os.path.join(etc, "resolv.conf")
    if os.path.isfile(resolv):
        made.append(_mount("resolv.conf", os.path.realpath(resolv), read_only=True))
    return made


def files_of_own_network(
    directory: str,
    hostname: str,
    attached: Sequence[Attached],
    default_dns: Mapping[str, Dns],
    etc: str = ETC,
    resolved: str = RESOLVED,
) -> list[Mount]:
    """Files with the container's name and address, and resolvers that it can reach."""
    check_hostname(hostname)
    dns = merged(attached, default_dns)
    text = resolv_conf(dns) if dns.nameservers else _of_host(etc, resolved)
    return [
        _written(directory, "hosts", hosts(hostname, attached)),
        _written(directory, "hostname", f"{hostname}\n"),
        _written(directory, "resolv.conf", text),
    ]


def check_hostname(hostname: str) -> None:
    """Raises HostError for what is no name of a machine."""
    subject = f"hostname '{hostname}'"
    plain = hostname.replace("-", "a").replace(".", "a").replace("_", "a")
    if not hostname or len(hostname) > HOSTNAME_CHARS_MAX:
        raise HostError("use", subject, f"it must have 1 to {HOSTNAME_CHARS_MAX} characters")
    if not (plain.isascii() and plain.isalnum()):
        raise HostError("use", subject, "it may hold letters, digits, '-', '_' and '.' only")


def hosts(hostname: str, attached: Sequence[Attached]) -> str:
    """The name stands for the first address, as in Mesos; without any, for this machine."""
    addresses = [address for one in attached for address in one.addresses]
    return f"{LOCALHOST}{addresses[0] if addresses else '127.0.1.1'}\t{hostname}\n"


def merged(attached: Sequence[Attached], default_dns: Mapping[str, Dns]) -> Dns:
    """All networks' resolvers in order; of what may be there once, the last network's."""
    whole = Dns()
    for one in attached:
        dns = one.dns
        if not dns.nameservers:
            dns = default_dns.get(one.name, default_dns.get("", Dns()))
        whole = Dns(
            whole.nameservers + dns.nameservers,
            dns.domain or whole.domain,
            whole.search + dns.search,
            whole.options + dns.options,
        )
    return whole


def resolv_conf(dns: Dns) -> str:
    """As of resolv.conf(5)."""
    lines = [f"domain {dns.domain}"] if dns.domain else []
    lines += [f"search {' '.join(dns.search)}"] if dns.search else []
    lines += [f"options {' '.join(dns.options)}"] if dns.options else []
    lines += [f"nameserver {one}" for one in dns.nameservers]
    return "".join(f"{line}\n" for line in lines)


def without_loopback(text: str) -> str:
    """A host's resolv.conf without resolvers that only the host itself can reach."""
    kept: list[str] = []
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver" and _is_loopback(words[1]):
            kept.append(f"# {words[1]} of the host cannot be reached from here")
        else:
            kept.append(line)
    return "".join(f"{line}\n" for line in kept)


def _of_host(etc: str, resolved: str) -> str:
    text = _read(os.path.join(etc, "resolv.conf"))
    servers = list(_nameservers(text))
    if servers and all(_is_loopback(one) for one in servers):
        # systemd-resolved, or a cache such as dnsmasq: the former says where it asks.
        text = _read(resolved) or text
    return without_loopback(text)


def _nameservers(text: str) -> Iterable[str]:
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver":
            yield words[1]


def _is_loopback(text: str) -> bool:
    try:
        return ipaddress.ip_address(text.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _read(path: str) -> str:
    """The text of a small file of the host; '' when there is none."""
    try:
        with open(path, "rb") as file:
            return file.read(RESOLV_BYTES_MAX).decode(errors="replace")
    except OSError:
        return ""


def _written(directory: str, name: str, text: str) -> Mount:
    path = Path(directory, name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o644)
    except OSError as error:
        raise HostError("write", f"'{path}'", str(error)) from None
    return _mount(name, str(path), read_only=False)


def _mount(name: str, source: str, *, read_only: bool) -> Mount:
    return Mount(destination=f"/etc/{name}", source=source, read_only=read_only)
