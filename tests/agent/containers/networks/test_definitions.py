"""Which files are networks, and what is said of those that are not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tepui.agent.containers.networks.bridge import SUBNETS, checked_subnet, free_subnet
from tepui.agent.containers.networks.definitions import (
    FILE_BYTES_MAX,
    PLUGINS_MAX,
    Directory,
    Unusable,
    parse,
)
from tepui.base.errors import Refused


def text(**keys: object) -> bytes:
    return json.dumps({"name": "web", "type": "bridge", **keys}).encode()


def test_a_file_may_hold_one_plugin_or_a_list() -> None:
    one = parse(text(mtu=1400), "file")
    assert (one.name, one.version, one.types()) == ("web", "0.1.0", ("bridge",))
    assert one.plugins[0]["mtu"] == 1400
    listed = parse(
        json.dumps(
            {
                "cniVersion": "0.4.0",
                "name": "web",
                "plugins": [
                    {"type": "bridge"},
                    {"type": "portmap", "capabilities": {"portMappings": True}},
                ],
            }
        ).encode(),
        "file",
    )
    assert (listed.version, listed.types()) == ("0.4.0", ("bridge", "portmap"))
    assert listed.can("portMappings")
    assert not one.can("portMappings")


def test_a_chain_may_have_so_many_plugins_and_no_more() -> None:
    most = [{"type": "tuning"}] * PLUGINS_MAX
    assert len(parse(text(plugins=most), "file").plugins) == PLUGINS_MAX
    with pytest.raises(Unusable, match="'plugins' must be a list of 1 to 32"):
        parse(text(plugins=[*most, {"type": "tuning"}]), "file")


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (b"{", "it is no JSON: "),
        (b"[]", "it is no JSON object"),
        (b"[" * 100_000, "it is no JSON: "),
        (text(name=""), "'name' must be letters"),
        (text(name=3), "'name' must be letters"),
        (text(name="../x"), "'name' must be letters"),
        (text(cniVersion="9.0.0"), "'cniVersion' is '9.0.0', and known are 0.1.0, "),
        (text(cniVersion=1), "'cniVersion' is 1, and known are "),
        (text(plugins=[]), "'plugins' must be a list of 1 to 32"),
        (text(plugins={}), "'plugins' must be a list of 1 to 32"),
        (text(plugins=["bridge"]), "'plugins[0]' is no object"),
        (text(type=""), "'type' of plugin 0 must be the name of a program, without '/'"),
        (text(type="../bridge"), "'type' of plugin 0 must be the name of a program, without '/'"),
        (text(args=[]), "'args' of plugin 'bridge' must be an object"),
        (text(args={"org.apache.mesos": {}}), "may not hold 'org.apache.mesos': it is reserved"),
    ],
)
def test_a_malformed_file_is_refused_with_its_rule(given: bytes, why: str) -> None:
    with pytest.raises(Unusable) as raised:
        parse(given, "file")
    assert why in str(raised.value)


def test_a_directory_gives_what_can_be_used_and_names_the_rest(tmp_path: Path) -> None:
    configs, plugins = tmp_path / "configs", tmp_path / "plugins"
    configs.mkdir()
    plugins.mkdir()
    (plugins / "bridge").write_text("#!/bin/sh\n")
    (plugins / "bridge").chmod(0o755)
    (configs / "10-web").write_bytes(text())
    (configs / "20-again.conf").write_bytes(text())
    (configs / "30-ipam.conf").write_bytes(text(name="ipam", ipam={"type": "host-local"}))
    (configs / "40-bad.conf").write_bytes(b"")
    (configs / "50-large.conf").write_bytes(b" " * (FILE_BYTES_MAX + 1))
    (configs / ".hidden").write_bytes(text(name="hidden"))
    (configs / "nowhere").symlink_to(tmp_path / "nowhere")
    (configs / "directory.conf").mkdir()
    directory = Directory(str(configs), (str(plugins),))
    assert sorted(directory.read()) == ["web"]
    assert [fault.split(":", 1)[1].strip() for fault in directory.faults] == [
        f"network 'web' is defined by '{configs}/10-web' already",
        f"network 'ipam' needs the plugin 'host-local', looked for in '{plugins}'",
        "it is no JSON: Input data was truncated",
        f"it has more than {FILE_BYTES_MAX} bytes",
    ]
    (plugins / "host-local").write_text("#!/bin/sh\n")
    (plugins / "host-local").chmod(0o755)
    assert sorted(directory.read()) == ["ipam", "web"]  # the plugin was installed meanwhile


def test_a_directory_that_is_missing_has_no_networks(tmp_path: Path) -> None:
    directory = Directory(str(tmp_path / "none"), ())
    assert directory.read() == {}
    assert directory.faults == (
        f"the directory '{tmp_path}/none' cannot be read: No such file or directory",
    )


ROUTES = """Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT
eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
"""
TAKEN = "tun0\t00001DAC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n"  # 172.29.0.0/16
ALL_TAKEN = (
    TAKEN
    + "tun1\t0000000A\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0\n"  # 10.0.0.0/8
    + "tun2\t0000A8C0\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n"  # 192.168.0.0/16
    + "tun3\t00004064\t00000000\t0001\t0\t0\t0\t0000C0FF\t0\t0\t0\n"  # 100.64.0.0/10
)


def test_the_bridges_subnet_is_one_that_no_route_leads_to() -> None:
    assert str(free_subnet(ROUTES)) == SUBNETS[0]  # the default route leads everywhere
    assert str(free_subnet(ROUTES + TAKEN)) == SUBNETS[1]
    assert free_subnet(ROUTES + ALL_TAKEN) is None
    assert str(free_subnet("")) == SUBNETS[0]


@pytest.mark.parametrize("given", ["10.1.0.0/29", "10.0.0.0/8"])
def test_a_subnet_of_the_operators_is_taken(given: str) -> None:
    assert str(checked_subnet(given)) == given


@pytest.mark.parametrize("given", ["10.1.0.0/30", "10.1.0.1/24", "fd00::/64", "x", ""])
def test_a_subnet_that_is_none_is_refused(given: str) -> None:
    with pytest.raises(Refused, match="--network_bridge_subnet"):
        checked_subnet(given)
