"""What plugins are told, in which order, and what is undone: with plugins that only take notes."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path

import pytest

from tepui.agent.containers.networks import Attached, Dns, NetworkAsked, Networks
from tepui.agent.containers.networks.networks import NETWORKS_MAX
from tepui.base.errors import HostError
from tests.agent.containers.networks.host import Machine, address

OWN = "/proc/self/ns/net"
WEB = NetworkAsked("web", ((31080, 80, "tcp"),), {"tier": "front"}, (), ("10.0.0.9",))


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def play(machine: Machine, test: Callable[[Networks], Coroutine[None, None, None]]) -> None:
    """With the networks of an agent that has just started."""

    async def whole() -> None:
        networks = machine.networks()
        await networks.start(())
        try:
            await test(networks)
        finally:
            await networks.close()

    asyncio.run(whole())


def test_plugins_of_a_chain_are_told_all_they_need(machine: Machine) -> None:
    can = {"capabilities": {"portMappings": True, "ips": True, "other": True}}
    machine.network(
        "web",
        {
            "type": "first",
            "ADD": {"answer": address("10.0.0.2/24", "10.0.0.1")},
            "args": {"own": 1},
        },
        {"type": "second", **can},
    )

    async def test(networks: Networks) -> None:
        (attached,) = await networks.attach("c1", OWN, (WEB,))
        assert attached == Attached("web", "eth0", ("10.0.0.2",), "10.0.0.1", Dns(), WEB)
        await networks.detach("c1")

    play(machine, test)
    assert machine.calls() == [
        ("ADD", "web", "first"),
        ("ADD", "web", "second"),
        ("DEL", "web", "second"),
        ("DEL", "web", "first"),
    ]
    assert machine.environment(0) == {
        "CNI_COMMAND": "ADD",
        "CNI_CONTAINERID": "c1",
        "CNI_NETNS": OWN,
        "CNI_IFNAME": "eth0",
        "CNI_PATH": str(machine.plugins),
    }
    info = {
        "name": "web",
        "ip_addresses": [{"protocol": "IPv4", "ip_address": "10.0.0.9"}],
        "labels": {"labels": [{"key": "tier", "value": "front"}]},
        "port_mappings": [{"host_port": 31080, "container_port": 80, "protocol": "tcp"}],
    }
    assert machine.config(0)["args"] == {"own": 1, "org.apache.mesos": {"network_info": info}}
    assert "runtimeConfig" not in machine.config(0)
    assert "prevResult" not in machine.config(0)
    assert "capabilities" not in machine.config(1)
    assert machine.config(1)["runtimeConfig"] == {
        "portMappings": [{"hostPort": 31080, "containerPort": 80, "protocol": "tcp"}],
        "ips": ["10.0.0.9"],
    }
    for at in (1, 2, 3):
        assert machine.config(at)["prevResult"] == address("10.0.0.2/24", "10.0.0.1")
        assert machine.config(at)["cniVersion"] == "1.0.0"


def test_networks_are_interfaces_in_the_order_they_are_asked_for(machine: Machine) -> None:
    for name, ip in (("a", "10.0.0.2/24"), ("b", "fd00::2/64")):
        machine.network(name, {"type": f"plugin-{name}", "ADD": {"answer": address(ip)}})

    async def test(networks: Networks) -> None:
        attached = await networks.attach("c1", OWN, (NetworkAsked("b"), NetworkAsked("a")))
        assert [(one.name, one.interface, one.addresses) for one in attached] == [
            ("b", "eth0", ("fd00::2",)),
            ("a", "eth1", ("10.0.0.2",)),
        ]
        assert networks.attached("c1") == attached
        await networks.detach("c1")
        assert networks.attached("c1") == ()

    play(machine, test)
    assert [name for _, name, _ in machine.calls()] == ["b", "a", "a", "b"]


def test_an_answer_of_the_oldest_form_is_understood(machine: Machine) -> None:
    old = {
        "ip4": {"ip": "10.0.0.2/24", "gateway": "10.0.0.1"},
        "dns": {"nameservers": ["10.0.0.53"], "search": ["here"]},
    }
    machine.network("old", {"type": "plugin", "ADD": {"answer": old}}, version="0.2.0")

    async def test(networks: Networks) -> None:
        (attached,) = await networks.attach("c1", OWN, (NetworkAsked("old"),))
        assert attached.addresses == ("10.0.0.2",)
        assert attached.dns == Dns(("10.0.0.53",), None, ("here",), ())
        await networks.detach("c1")

    play(machine, test)
    assert "prevResult" not in machine.config(1)  # at DEL, from version 0.4.0 on only


def test_addresses_of_the_hosts_side_are_not_the_containers(machine: Machine) -> None:
    result = {
        "interfaces": [{"name": "veth1"}, {"name": "eth0", "sandbox": OWN}],
        "ips": [
            {"address": "10.0.0.1/24", "interface": 0},
            {"address": "10.0.0.2/24", "interface": 1},
        ],
    }
    machine.network("web", {"type": "plugin", "ADD": {"answer": result}})

    async def test(networks: Networks) -> None:
        (attached,) = await networks.attach("c1", OWN, (NetworkAsked("web"),))
        assert attached.addresses == ("10.0.0.2",)

    play(machine, test)


@pytest.mark.parametrize(
    ("doing", "text"),
    [
        (
            {"fail": {"code": 11, "msg": "no address", "details": "range is full"}},
            "ADD by plugin 'bad' for network 'web': no address: range is full (code 11)",
        ),
        (
            {"exit": 3, "say": "went wrong", "text": ""},
            "ADD by plugin 'bad' for network 'web': exited with status 3: went wrong",
        ),
        (
            {"exit": 3, "text": ""},
            "ADD by plugin 'bad' for network 'web': exited with status 3, and said nothing",
        ),
        (
            {"answer": ["no object"]},
            "ADD by plugin 'bad' for network 'web': malformed result: Expected `object`, got `array`",
        ),
        (
            {"answer": {"ips": [{"address": "no address"}]}},
            "malformed result: 'no address' does not appear to be an IPv4 or IPv6 interface",
        ),
        ({"endless": 1}, "ADD by plugin 'bad' for network 'web': exited with status 1"),
    ],
    ids=["error", "status", "silence", "no result", "no address", "endless"],
)
def test_a_plugin_that_fails_is_named_and_all_is_undone(
    machine: Machine, doing: dict[str, object], text: str
) -> None:
    machine.network(
        "web",
        {"type": "good", "ADD": {"answer": address("10.0.0.2/24")}},
        {"type": "bad", "ADD": doing},
    )

    async def test(networks: Networks) -> None:
        with pytest.raises(HostError) as raised:
            await networks.attach("c1", OWN, (NetworkAsked("web"),))
        assert text in str(raised.value)
        assert list(machine.state.iterdir()) == []
        await networks.detach("c1")

    play(machine, test)
    assert machine.calls() == [
        ("ADD", "web", "good"),
        ("ADD", "web", "bad"),
        ("DEL", "web", "bad"),
        ("DEL", "web", "good"),
    ]
    answered = doing.get("answer")  # one that is an object is a result, whatever it says
    told = answered if isinstance(answered, dict) else address("10.0.0.2/24")
    assert machine.config(2)["prevResult"] == told


def test_a_plugin_that_does_not_end_is_killed(machine: Machine) -> None:
    machine.network("web", {"type": "slow", "ADD": {"hang": True}})

    async def test() -> None:
        networks = machine.networks(timeout_s=2)
        await networks.start(())
        with pytest.raises(HostError, match=r"by plugin 'slow' .* 2 seconds, and was killed"):
            await networks.attach("c1", OWN, (NetworkAsked("web"),))
        await networks.close()

    asyncio.run(test())
    pid = machine.lines()[0]["pid"]
    assert isinstance(pid, int)
    assert not Path(f"/proc/{pid}").exists()
    assert machine.calls()[-1] == ("DEL", "web", "slow")


def test_what_cannot_be_undone_is_tried_again_at_the_next_start(machine: Machine) -> None:
    machine.network("web", {"type": "good"}, {"type": "bad", "DEL": {"fail": {"msg": "busy"}}})

    async def test(networks: Networks) -> None:
        await networks.attach("c1", OWN, (NetworkAsked("web"),))
        with pytest.raises(HostError, match="DEL by plugin 'bad' for network 'web': busy"):
            await networks.detach("c1")
        assert machine.calls()[-2:] == [("DEL", "web", "bad"), ("DEL", "web", "good")]

    play(machine, test)
    assert [path.name for path in machine.state.iterdir()] == ["c1"]
    (machine.plugins / "bad").write_text("#!/bin/sh\nexit 0\n")

    async def nothing(_: Networks) -> None:
        pass

    play(machine, nothing)
    assert machine.calls()[-1] == ("DEL", "web", "good")
    assert list(machine.state.iterdir()) == []


def test_a_namespace_that_is_gone_is_not_named(machine: Machine, tmp_path: Path) -> None:
    machine.network("web", {"type": "plugin"})
    gone, other = tmp_path / "gone", tmp_path / "other"
    gone.touch()
    other.touch()

    async def test(networks: Networks) -> None:
        await networks.attach("c1", str(gone), (NetworkAsked("web"),))
        await networks.attach("c2", str(other), (NetworkAsked("web"),))
        gone.unlink()
        (tmp_path / "another").touch()
        (tmp_path / "another").rename(other)  # the path means another one by now
        await networks.detach("c1")
        await networks.detach("c2")

    play(machine, test)
    assert [machine.environment(at)["CNI_NETNS"] for at in (2, 3)] == ["", ""]


def test_a_cancelled_attach_is_undone(machine: Machine, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    machine.network("web", {"type": "plugin", "ADD": {"wait": str(fifo)}})

    async def test(networks: Networks) -> None:
        attaching = asyncio.create_task(networks.attach("c1", OWN, (NetworkAsked("web"),)))
        writing = await asyncio.to_thread(fifo.open, "wb")  # when the plugin reads
        attaching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attaching
        writing.close()
        await networks.close()
        assert networks.attached("c1") == ()

    play(machine, test)
    assert machine.calls() == [("ADD", "web", "plugin"), ("DEL", "web", "plugin")]
    assert list(machine.state.iterdir()) == []


AGENT = """
import asyncio, sys
from pathlib import Path
from tepui.agent.containers.networks import NetworkAsked
from tests.agent.containers.networks.host import Machine

async def main():
    networks = Machine(Path(sys.argv[1])).networks()
    await networks.start(())
    await networks.attach("c1", "/proc/self/ns/net", (NetworkAsked("web"),))

asyncio.run(main())
"""


@pytest.mark.real
def test_an_agent_that_is_killed_while_a_plugin_works_is_undone_after_the_plugin(
    machine: Machine, tmp_path: Path
) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    machine.network("web", {"type": "plugin", "ADD": {"wait": str(fifo)}})
    root = Path(__file__).parents[4]
    agent = subprocess.Popen(
        [sys.executable, "-c", AGENT, str(tmp_path)],
        env={"PYTHONPATH": f"{root / 'src'}:{root}", "PATH": os.defpath},
    )
    held = os.open(fifo, os.O_WRONLY)  # opens when the plugin reads
    agent.send_signal(signal.SIGKILL)
    agent.wait()

    async def start() -> None:
        networks = machine.networks()
        starting = asyncio.create_task(networks.start(()))
        await asyncio.wait((starting,), timeout=0.2)
        assert not starting.done()
        os.close(held)
        await starting
        await networks.close()

    asyncio.run(start())
    told = [line.get("ended") for line in machine.lines()]
    assert told == [None, "ADD", None, "DEL"]
    assert list(machine.state.iterdir()) == []


def test_a_record_that_cannot_be_read_does_not_stop_the_start(machine: Machine) -> None:
    (machine.state / "c1").mkdir(parents=True)
    (machine.state / "c1" / "attached.json").write_text("{")
    (machine.state / "c2").mkdir()  # an agent that was killed before it wrote anything

    async def nothing(_: Networks) -> None:
        pass

    play(machine, nothing)
    assert list(machine.state.iterdir()) == []


def test_a_network_that_is_not_known_is_refused_in_words(machine: Machine) -> None:
    machine.network("web", {"type": "plugin"})
    machine.network("flat", {"type": "macvlan"})
    machine.network("broken", {"type": "gone"})
    (machine.plugins / "gone").unlink()

    async def test(networks: Networks) -> None:
        assert networks.names() == ("flat", "web")
        assert networks.lacks((NetworkAsked("web"), NetworkAsked("flat"))) is None
        assert (
            networks.lacks((NetworkAsked("x"),))
            == "this agent knows no network 'x' (it knows: flat, web)"
        )
        broken = networks.lacks((NetworkAsked("broken"),))
        assert broken is not None
        assert "network 'broken' needs the plugin 'gone', looked for in '" in broken
        assert (
            networks.lacks((NetworkAsked("web"), NetworkAsked("web")))
            == "Attempted to join CNI network 'web' multiple times"
        )
        assert networks.lacks((WEB,)) is None
        deaf = networks.lacks((NetworkAsked("flat", ((31080, 80, "tcp"),)),))
        assert deaf is not None
        assert deaf.startswith("network 'flat' maps no ports: none of its plugins in '")
        with pytest.raises(HostError, match="this agent knows no network 'x'"):
            await networks.attach("c1", OWN, (NetworkAsked("x"),))

    play(machine, test)


def test_a_container_may_be_on_sixteen_networks_and_no_more(machine: Machine) -> None:
    many = tuple(NetworkAsked(f"n{at}") for at in range(NETWORKS_MAX + 1))
    for one in many:
        machine.network(one.name, {"type": "plugin"})

    async def test(networks: Networks) -> None:
        assert networks.lacks(many[:-1]) is None
        assert networks.lacks(many) == "17 networks are asked for, and a container may have 16"

    play(machine, test)


def test_networks_come_change_and_go_with_their_files(machine: Machine) -> None:
    async def test(networks: Networks) -> None:
        assert networks.names() == ()
        machine.network("web", {"type": "plugin", "ADD": {"answer": address("10.0.0.2/24")}})
        assert networks.lacks((NetworkAsked("web"),)) is None
        machine.network("web", {"type": "plugin", "ADD": {"answer": address("10.10.10.2/24")}})
        (attached,) = await networks.attach("c1", OWN, (NetworkAsked("web"),))
        assert attached.addresses == ("10.10.10.2",)
        (machine.configs / "web.conflist").unlink()
        assert networks.lacks((NetworkAsked("web"),)) is not None
        await networks.detach("c1")

    play(machine, test)
    assert machine.calls()[-1] == ("DEL", "web", "plugin")


@pytest.mark.parametrize("container_id", ["", "..", "a/b", "-a", "a b", "ä"])
def test_an_id_that_cni_does_not_take_is_refused(machine: Machine, container_id: str) -> None:
    machine.network("web", {"type": "plugin"})

    async def test(networks: Networks) -> None:
        with pytest.raises(HostError, match="the id must be"):
            await networks.attach(container_id, OWN, (NetworkAsked("web"),))
        await networks.detach(container_id)

    play(machine, test)
    assert machine.calls() == []
