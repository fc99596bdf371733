"""What containers find at /etc/hosts, /etc/hostname and /etc/resolv.conf."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tepui.agent.containers.networks import Attached, Dns, Networks, NetworkSettings
from tepui.agent.containers.networks.files import (
    HOSTNAME_CHARS_MAX,
    check_hostname,
    files_of_host_network,
    files_of_own_network,
    merged,
    resolv_conf,
    without_loopback,
)
from tepui.agent.containers.spec import Mount
from tepui.base.errors import HostError

LOCALHOST = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"


def host(directory: Path, resolv: str = "nameserver 10.0.0.53\n") -> str:
    etc = directory / "etc"
    etc.mkdir()
    (etc / "hosts").write_text("127.0.0.1 localhost\n10.0.0.1 host")
    (etc / "hostname").write_text("host\n")
    (directory / "real").write_text(resolv)
    (etc / "resolv.conf").symlink_to(directory / "real")
    return str(etc)


def texts(mounts: list[Mount]) -> dict[str, str]:
    return {one.destination: Path(str(one.source)).read_text() for one in mounts}


def test_on_the_hosts_network_they_are_the_hosts_read_only(tmp_path: Path) -> None:
    etc = host(tmp_path)
    for hostname in (None, socket.gethostname()):
        mounts = files_of_host_network(str(tmp_path / "own"), hostname, etc)
        assert mounts == [
            Mount(destination="/etc/hosts", source=f"{etc}/hosts", read_only=True),
            Mount(destination="/etc/hostname", source=f"{etc}/hostname", read_only=True),
            Mount(destination="/etc/resolv.conf", source=str(tmp_path / "real"), read_only=True),
        ]
    assert not (tmp_path / "own").exists()
    (tmp_path / "etc/hostname").unlink()
    left = files_of_host_network(str(tmp_path), None, etc)
    assert [one.destination for one in left] == ["/etc/hosts", "/etc/resolv.conf"]


def test_a_name_of_its_own_is_known_on_the_hosts_network(tmp_path: Path) -> None:
    mounts = files_of_host_network(str(tmp_path / "own"), "web", host(tmp_path))
    assert texts(mounts) == {
        "/etc/hosts": "127.0.0.1 localhost\n10.0.0.1 host\n127.0.1.1\tweb\n",
        "/etc/hostname": "web\n",
        "/etc/resolv.conf": "nameserver 10.0.0.53\n",
    }


def test_on_its_own_network_the_name_is_the_first_address(tmp_path: Path) -> None:
    attached = (
        Attached("a", "eth0", ("10.1.0.2", "fd00::2")),
        Attached("b", "eth1", ("10.2.0.2",)),
    )
    mounts = files_of_own_network(str(tmp_path / "own"), "web", attached, {}, host(tmp_path))
    assert texts(mounts) == {
        "/etc/hosts": f"{LOCALHOST}10.1.0.2\tweb\n",
        "/etc/hostname": "web\n",
        "/etc/resolv.conf": "nameserver 10.0.0.53\n",
    }
    assert not any(one.read_only for one in mounts)


def test_a_container_without_network_knows_itself(tmp_path: Path) -> None:
    mounts = files_of_own_network(str(tmp_path / "own"), "web", (), {}, host(tmp_path))
    assert texts(mounts)["/etc/hosts"] == f"{LOCALHOST}127.0.1.1\tweb\n"


def test_without_a_name_a_container_is_called_by_its_id(tmp_path: Path) -> None:
    networks = Networks(NetworkSettings(), str(tmp_path / "state"))
    for container_id, name in (
        ("c1", "c1"),
        ("parent.child", "child"),
        ("x" * 70, "x" * HOSTNAME_CHARS_MAX),
    ):
        mounts = networks.files(container_id, str(tmp_path / "o"), None, (), host_network=False)
        assert texts(list(mounts))["/etc/hostname"] == f"{name}\n"


@pytest.mark.parametrize("name", ["a", "web-1.example.com", "a_b", "x" * HOSTNAME_CHARS_MAX])
def test_a_hostname_may_be(name: str) -> None:
    check_hostname(name)


@pytest.mark.parametrize(
    "name", ["", "x" * (HOSTNAME_CHARS_MAX + 1), "a b", "a\nb", "a\t10.0.0.1", "ä", "²"]
)
def test_a_hostname_may_not_be(name: str) -> None:
    with pytest.raises(HostError, match="use hostname '"):
        check_hostname(name)


@pytest.mark.parametrize(
    ("resolv", "resolved", "expected"),
    [
        (
            "search a\nnameserver 127.0.0.53\noptions edns0\n",
            "nameserver 10.0.0.1\n",
            "nameserver 10.0.0.1\n",
        ),
        (
            "search a\nnameserver 127.0.0.53\n",
            None,
            "search a\n# 127.0.0.53 of the host cannot be reached from here\n",
        ),
        (
            "nameserver ::1\nnameserver 10.0.0.2\n",
            "nameserver 10.0.0.1\n",
            "# ::1 of the host cannot be reached from here\nnameserver 10.0.0.2\n",
        ),
        ("", "nameserver 10.0.0.1\n", ""),
    ],
    ids=["systemd-resolved", "a cache", "one of several", "none"],
)
def test_resolvers_that_only_the_host_reaches_are_replaced(
    tmp_path: Path, resolv: str, resolved: str | None, expected: str
) -> None:
    etc = host(tmp_path, resolv)
    there = tmp_path / "resolved"
    if resolved is not None:
        there.write_text(resolved)
    mounts = files_of_own_network(str(tmp_path / "own"), "web", (), {}, etc, str(there))
    assert texts(mounts)["/etc/resolv.conf"] == expected
    assert "nameserver 127" not in without_loopback(resolv)


def test_resolvers_are_the_networks_then_the_operators() -> None:
    default = {"b": Dns(("10.0.0.2",), "b.example"), "": Dns(("10.0.0.3",))}
    attached = (
        Attached("a", "eth0", (), None, Dns(("10.0.0.1",), "a.example", ("s",), ("ndots:2",))),
        Attached("b", "eth1", ()),
        Attached("c", "eth2", ()),
    )
    dns = merged(attached, default)
    assert dns == Dns(("10.0.0.1", "10.0.0.2", "10.0.0.3"), "b.example", ("s",), ("ndots:2",))
    assert resolv_conf(dns) == (
        "domain b.example\nsearch s\noptions ndots:2\n"
        "nameserver 10.0.0.1\nnameserver 10.0.0.2\nnameserver 10.0.0.3\n"
    )
