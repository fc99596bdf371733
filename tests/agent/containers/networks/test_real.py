"""Debian's CNI plugins on hosts that are network namespaces: what packets do, and what is left."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tepui.agent.containers.networks import (
    BRIDGE_NETWORK,
    NetworkAsked,
    Networks,
    NetworkSettings,
    connect,
    forward,
)
from tepui.agent.containers.networks.rules import chains_of
from tepui.base.errors import HostError
from tests.agent.containers.networks.host import (
    PLUGINS,
    Container,
    ask,
    ip,
    on_own_host,
    run,
    traces,
)

pytestmark = pytest.mark.real


def networks_in(directory: Path, config_directory: Path | None = None) -> Networks:
    settings = NetworkSettings(
        config_directory=None if config_directory is None else str(config_directory),
        plugins_directories=(PLUGINS,),
        addresses_directory=str(directory / "addresses"),
    )
    return Networks(settings, str(directory / "state"))


def bridge(*port_mappings: tuple[int, int, str]) -> tuple[NetworkAsked, ...]:
    return (NetworkAsked(BRIDGE_NETWORK, port_mappings),)


def test_two_containers_on_the_bridge_reach_each_other(tmp_path: Path) -> None:
    async def test() -> None:
        networks = networks_in(tmp_path)
        await networks.start(())
        one, two = Container(), Container()
        try:
            (first,) = await networks.attach("one", one.namespace, bridge())
            (second,) = await networks.attach("two", two.namespace, bridge())
            assert first.interface == "eth0"
            assert first.gateway is not None
            assert "state UP" in one.ip("link show eth0")
            async with two.serving(80, b"two hears"):
                said = await one.ask(second.addresses[0], 80)
            assert said == f"two hears {first.addresses[0]}".encode()
        finally:
            one.end()
            two.end()
            await networks.close()

    on_own_host(test)


def test_a_mapped_port_leads_from_host_itself_container_neighbour_and_outside(
    tmp_path: Path,
) -> None:
    """Also where FORWARD drops, as Docker leaves it."""

    async def test() -> None:
        outside, inside, neighbour = Container(), Container(), Container()
        networks = networks_in(tmp_path)
        try:
            run("iptables", "-P", "FORWARD", "DROP")
            ip(f"link add out0 type veth peer name eth0 netns {outside.process.pid}")
            ip("addr add 198.51.100.1/24 dev out0")
            ip("link set out0 up")
            outside.ip("addr add 198.51.100.2/24 dev eth0")
            outside.ip("link set eth0 up")
            await networks.start(())
            await networks.attach("in", inside.namespace, bridge((31080, 80, "tcp")))
            await networks.attach("by", neighbour.namespace, bridge())
            async with inside.serving(80, b"inside hears"):
                assert await outside.ask("198.51.100.1", 31080) == b"inside hears 198.51.100.2"
                for asking in (ask, inside.ask, neighbour.ask):
                    said = await asking("198.51.100.1", 31080)
                    assert said.startswith(b"inside hears "), said
                assert (await ask("127.0.0.1", 31080)).startswith(b"inside hears ")
            async with outside.serving(80, b"outside hears"):
                assert await inside.ask("198.51.100.2", 80) == b"outside hears 198.51.100.1"
        finally:
            for one in (outside, inside, neighbour):
                one.end()
            await networks.close()

    on_own_host(test)


@pytest.mark.parametrize("is_alive", [True, False], ids=["namespace there", "namespace gone"])
def test_nothing_is_left_after_detach(tmp_path: Path, is_alive: bool) -> None:
    async def test() -> None:
        networks = networks_in(tmp_path)
        await networks.start(())
        first, second = Container(), Container()
        try:
            await networks.attach("first", first.namespace, bridge((31000, 80, "tcp")))
            await networks.detach("first")
            before = traces(tmp_path / "addresses")
            assert before["addresses"] == []
            mapped = bridge((31000, 80, "tcp"), (31000, 80, "udp"))
            await networks.attach("second", second.namespace, mapped)
            assert traces(tmp_path / "addresses") != before
            if not is_alive:
                second.end()
                await veths_gone()
            await networks.detach("second")
            assert traces(tmp_path / "addresses") == before
            assert list((tmp_path / "state").iterdir()) == []
            await networks.detach("second")
        finally:
            first.end()
            if is_alive:
                second.end()
            await networks.close()

    on_own_host(test)


async def veths_gone() -> None:
    """The kernel takes a namespace's links away in its own time."""
    async with asyncio.timeout(20):
        while "tpv" in ip("-o link"):  # noqa: ASYNC110 (nothing tells of it)
            await asyncio.sleep(0.01)


def test_many_containers_come_and_go_at_once(tmp_path: Path) -> None:
    async def test() -> None:
        networks = networks_in(tmp_path)
        await networks.start(())
        containers = [Container() for _ in range(8)]
        try:
            attached = await asyncio.gather(
                *(
                    networks.attach(f"c{at}", one.namespace, bridge((31000 + at, 80, "tcp")))
                    for at, one in enumerate(containers)
                )
            )
            assert len({one.addresses for (one,) in attached}) == 8
            async with containers[7].serving(80, b"hello"):
                assert (await ask("127.0.0.1", 31007)).startswith(b"hello")
            await asyncio.gather(*(networks.detach(f"c{at}") for at in range(8)))
            left = traces(tmp_path / "addresses")
            assert left["addresses"] == []
            assert left["links"] == ["lo:", "tepui0:"]
            assert not any("DNAT --to" in line for line in left["rules"])
        finally:
            for one in containers:
                one.end()
            await networks.close()

    on_own_host(test)


def test_a_new_agent_keeps_the_living_and_undoes_the_rest(tmp_path: Path) -> None:
    async def test() -> None:
        before, after = networks_in(tmp_path), networks_in(tmp_path)
        await before.start(())
        living, dead = Container(), Container()
        try:
            kept = await before.attach("living", living.namespace, bridge((31001, 80, "tcp")))
            await before.attach("dead", dead.namespace, bridge((31002, 80, "tcp")))
            await before.close()
            dead.end()
            run("iptables", "-t", "nat", "-F")  # someone's firewall was loaded anew
            await after.start({"living"})
            assert after.attached("living") == kept
            assert after.attached("dead") == ()
            assert traces(tmp_path / "addresses")["addresses"] == [kept[0].addresses[0]]
            async with living.serving(80, b"hello"):
                assert (await ask("127.0.0.1", 31001)).startswith(b"hello")
            with pytest.raises(ConnectionRefusedError):
                await ask("127.0.0.1", 31002)
            await after.detach("living")
            assert traces(tmp_path / "addresses")["addresses"] == []
        finally:
            living.end()
            await after.close()

    on_own_host(test)


AGENT = """
import asyncio, os, signal, sys
from tepui.agent.containers.networks import addresses, wiring
from tepui.agent.containers.networks.netlink import Netlink
from tepui.agent.containers.networks.rules import Rules
from pathlib import Path
from tests.agent.containers.networks.test_real import bridge, networks_in

def dying_after(owner, name):
    whole = getattr(owner, name)
    def part(*args):
        whole(*args)
        os.kill(os.getpid(), signal.SIGKILL)
    setattr(owner, name, part)

async def main():
    networks = networks_in(Path(sys.argv[1]))
    await networks.start(())
    dying_after(eval(sys.argv[3]), sys.argv[4])
    await networks.attach("c1", sys.argv[2], bridge((31080, 80, "tcp")))

asyncio.run(main())
"""


@pytest.mark.parametrize("is_alive", [True, False], ids=["namespace there", "namespace gone"])
@pytest.mark.parametrize(
    ("owner", "name"),
    [
        ("addresses", "take"),
        ("Netlink", "make_pair"),
        ("wiring", "plug_in"),
        ("Rules", "add"),
    ],
)
def test_an_agent_that_is_killed_while_it_attaches_leaves_nothing(
    tmp_path: Path, owner: str, name: str, is_alive: bool
) -> None:
    async def test() -> None:
        first, second = Container(), Container()
        networks, after = networks_in(tmp_path), networks_in(tmp_path)
        try:
            await networks.start(())
            await networks.attach("c0", first.namespace, bridge())
            await networks.detach("c0")
            before = traces(tmp_path / "addresses")
            root = Path(__file__).parents[4]
            agent = subprocess.run(  # noqa: ASYNC221 (nothing else is to be done)
                [sys.executable, "-c", AGENT, str(tmp_path), second.namespace, owner, name],
                env={"PYTHONPATH": f"{root / 'src'}:{root}", "PATH": os.environ["PATH"]},
                capture_output=True,
                check=False,
            )
            assert agent.returncode == -signal.SIGKILL, agent.stderr.decode()
            assert traces(tmp_path / "addresses") != before
            if not is_alive:
                second.end()
            await after.start(())
            if not is_alive:
                await veths_gone()
            assert traces(tmp_path / "addresses") == before
            assert list((tmp_path / "state").iterdir()) == []
        finally:
            first.end()
            if is_alive:
                second.end()
            await networks.close()
            await after.close()

    on_own_host(test)


def test_plugins_of_the_distribution_map_ports_in_a_chain(tmp_path: Path) -> None:
    configs = tmp_path / "configs"
    configs.mkdir()
    ipam = {"type": "host-local", "dataDir": str(tmp_path / "addresses"), "subnet": "10.9.0.0/24"}
    plugins = [
        {"type": "bridge", "bridge": "br9", "isGateway": True, "ipMasq": True, "ipam": ipam},
        {"type": "firewall"},
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ]
    whole = {"cniVersion": "1.0.0", "name": "nine", "plugins": plugins}
    (configs / "nine.conflist").write_text(json.dumps(whole))

    async def test() -> None:
        networks = networks_in(tmp_path, configs)
        await networks.start(())
        containers = [Container() for _ in range(4)]
        try:
            assert networks.names() == (BRIDGE_NETWORK, "nine")
            for _ in range(2):  # what the first round leaves, the second adds nothing to
                await asyncio.gather(
                    *(
                        networks.attach(
                            f"c{at}",
                            one.namespace,
                            (NetworkAsked("nine", ((31100 + at, 80, "tcp"),)),),
                        )
                        for at, one in enumerate(containers)
                    )
                )
                async with containers[3].serving(80, b"hello"):
                    said = await ask(networks.attached("c3")[0].addresses[0], 80)
                    assert said == b"hello 10.9.0.1"
                assert sum("DNAT --to" in line for line in traces(tmp_path)["rules"]) == 4
                await asyncio.gather(*(networks.detach(f"c{at}") for at in range(4)))
                left = traces(tmp_path / "addresses")
                assert left["addresses"] == []
                assert not any("10.9.0." in line for line in left["rules"])
                assert left["links"] == ["lo:", "br9:"]
        finally:
            for one in containers:
                one.end()
            await networks.close()

    on_own_host(test)


def test_two_networks_are_two_interfaces(tmp_path: Path) -> None:
    configs = tmp_path / "configs"
    configs.mkdir()
    ipam = {"type": "host-local", "dataDir": str(tmp_path / "addresses"), "subnet": "10.9.0.0/24"}
    whole = {"name": "old", "type": "bridge", "bridge": "br9", "ipam": ipam}
    (configs / "old").write_text(json.dumps(whole))  # no version: an answer of the oldest form

    async def test() -> None:
        networks = networks_in(tmp_path, configs)
        await networks.start(())
        container = Container()
        try:
            asked = (*bridge(), NetworkAsked("old"))
            first, second = await networks.attach("one", container.namespace, asked)
            assert (first.interface, second.interface) == ("eth0", "eth1")
            assert second.addresses == ("10.9.0.2",)
            assert "10.9.0.2/24" in container.ip("addr show eth1")
            await networks.detach("one")
            assert "eth" not in container.ip("-o link show type veth")
        finally:
            container.end()
            await networks.close()

    on_own_host(test)


def test_a_wished_address_is_given_once(tmp_path: Path) -> None:
    async def test() -> None:
        networks = networks_in(tmp_path)
        await networks.start(())
        one, two = Container(), Container()
        try:
            wished = (NetworkAsked(BRIDGE_NETWORK, ip_addresses=("172.29.192.77",)),)
            (attached,) = await networks.attach("one", one.namespace, wished)
            assert attached.addresses == ("172.29.192.77",)
            with pytest.raises(HostError, match=r"address '172\.29\.192\.77': another"):
                await networks.attach("two", two.namespace, wished)
            assert networks.attached("two") == ()
            assert [path.name for path in (tmp_path / "state").iterdir()] == ["one"]
        finally:
            one.end()
            two.end()
            await networks.close()

    on_own_host(test)


def test_a_connection_into_a_container_leaves_the_agent_where_it_is(tmp_path: Path) -> None:
    async def test() -> None:
        container = Container()
        own = Path("/proc/thread-self/ns/net").stat().st_ino
        try:
            async with container.serving(8080, b"inside", host="127.0.0.1"):
                reader, writer = await forward(container.process.pid, 8080)
                assert await reader.read() == b"inside 127.0.0.1"
                writer.close()
                await writer.wait_closed()
                assert Path("/proc/thread-self/ns/net").stat().st_ino == own
                (await connect(container.namespace, 8080)).close()
            with pytest.raises(HostError, match=r"connect to port 8080 .* refused"):
                await connect(container.process.pid, 8080)
        finally:
            container.end()
        with pytest.raises(HostError, match="No such file"):
            await connect(container.process.pid, 8080)

    on_own_host(test)


def dropped() -> bool:
    """Whether our chain has dropped a packet."""
    lines = run("iptables", "-vnL").splitlines()
    return any(
        "DROP" in line and "127.0.0.0/8" in line and line.split()[0] != "0" for line in lines
    )


def test_a_container_cannot_reach_what_listens_at_localhost_of_the_host(tmp_path: Path) -> None:
    async def test() -> None:
        networks = networks_in(tmp_path)
        await networks.start(())
        container = Container()
        try:
            (one,) = await networks.attach("one", container.namespace, bridge())
            # What a container with enough capabilities does to send packets to another machine's 127.0.0.1.
            container.ip("addr del 127.0.0.1/8 dev lo")
            container.ip(f"route add 127.0.0.1/32 via {one.gateway} src {one.addresses[0]}")
            run(
                "nsenter",
                f"--net={container.namespace}",
                "sh",
                "-c",
                "echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet",
            )

            async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                writer.write(b"the host hears")
                writer.close()

            server = await asyncio.start_server(answer, "0.0.0.0", 9999)
            async with server:
                assert one.gateway is not None
                assert await container.ask(one.gateway, 9999) == b"the host hears"
                asking = asyncio.create_task(container.ask("127.0.0.1", 9999))
                async with asyncio.timeout(20):
                    while not dropped() and not asking.done():  # noqa: ASYNC110 (the kernel counts)
                        await asyncio.sleep(0.01)
                assert not asking.done()
                run("iptables", "-F", chains_of(str(tmp_path / "state")).input)
                assert await asking == b"the host hears"  # what is sent again now comes through
        finally:
            container.end()
            await networks.close()

    on_own_host(test)
