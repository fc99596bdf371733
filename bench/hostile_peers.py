"""Hostile schedulers, agents and executors: they speak the protocols, and misuse them."""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any, Final
from uuid import uuid4

import tepui
from bench.hostile_wire import (
    HOST,
    SCHEDULER,
    Hostile,
    Reader,
    Writer,
    call,
    drained,
    read_answer,
    records,
    request,
    send,
    subscription,
    together,
)
from tepui.resources import parse_resources
from tepui.wire import link, mesos

FLAPS_PER_S: Final = 50
FRAMEWORKS: Final = 500  # connected at a time
FAILOVER_S: Final = 3.0
TASKS_MAX: Final = 300  # that one scheduler leaves unacknowledged
UPDATES: Final = 500  # of one write
FORWARDED: Final = 10  # of them, to frameworks that there are
KEPT_S: Final = 3.0
UPGRADE: Final = (
    b"GET /link HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tepui-link\r\n\r\n"
)


class Stranger(Hostile):
    """A subscribed scheduler; subclasses misuse that."""

    async def subscribed(
        self, reader: Reader, writer: Writer, name: str, failover_s: float = 0.0
    ) -> tuple[str, str]:
        """Framework id and stream id."""
        send(writer, subscription(f"hostile-{name}", failover_s))
        async with asyncio.timeout(10):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            stream_id = head.lower().partition("mesos-stream-id: ")[2].partition("\r\n")[0]
            async for event in records(reader):
                if event["type"] == "SUBSCRIBED":
                    self.counts["subscribed"] += 1
                    framework_id: str = event["subscribed"]["framework_id"]["value"]
                    return framework_id, stream_id
        raise ConnectionError("no subscription")

    async def call(self, framework_id: str, stream_id: str, kind: str, **fields: object) -> int:
        """Post a call on a connection of its own."""
        body = call(kind, framework_id={"value": framework_id}, **fields)
        headers = (f"Mesos-Stream-Id: {stream_id}",)
        return (await self.ask(request(SCHEDULER, body, headers=headers)))[0]


class BadStreamIds(Stranger):
    """Calls of a subscribed framework under stream ids that are not its own."""

    name = "bad_stream_ids"

    async def attack(self) -> None:
        async with self.connected() as (reader, writer):
            framework_id, stream_id = await self.subscribed(reader, writer, "streams")
            reading = asyncio.create_task(drained(reader, self.counts))
            for _ in range(100):
                wrong = self.random.choice(
                    ("", "x", "x" * 10_000, stream_id[:-1] + "z", self.random.randbytes(8).hex())
                )
                kind = self.random.choice(("REVIVE", "SUPPRESS", "TEARDOWN", "SUBSCRIBE"))
                await self.call(framework_id, wrong, kind)
                await self.pace.turn()
            reading.cancel()


class NeverAcknowledges(Stranger):
    """Launches tasks wherever it can, and acknowledges none of their updates."""

    name = "never_acknowledges"

    async def run(self) -> None:
        await self.crowd(3, self.attack)

    async def attack(self) -> None:
        async with self.connected() as (reader, writer):
            framework_id, stream_id = await self.subscribed(reader, writer, "silent")
            launched = 0
            async for event in records(reader):
                if event["type"] == "UPDATE":
                    self.counts["updates"] += 1
                for offer in event.get("offers", {}).get("offers", ()):
                    ids = {"offer_ids": [offer["id"]]}
                    if launched >= TASKS_MAX:
                        refused = {**ids, "filters": {"refuse_seconds": 3600}}
                        await self.call(framework_id, stream_id, "DECLINE", decline=refused)
                        continue
                    launched += 1
                    task = self._task(offer, launched)
                    launch = {"type": "LAUNCH", "launch": {"task_infos": [task]}}
                    accept = {**ids, "operations": [launch]}
                    await self.call(framework_id, stream_id, "ACCEPT", accept=accept)
                    self.counts["launched"] += 1
                    await self.pace.turn()

    def _task(self, offer: dict[str, Any], number: int) -> dict[str, object]:
        allocation = {"role": "*"}
        amounts = {"cpus": 0.1, "mem": 32}
        return {
            "name": "silent",
            "task_id": {"value": f"silent-{number}"},
            "agent_id": offer["agent_id"],
            "command": {"value": "true"},
            "resources": [
                {
                    "name": name,
                    "type": "SCALAR",
                    "scalar": {"value": amount},
                    "allocation_info": allocation,
                }
                for name, amount in amounts.items()
            ],
        }


class Hoarder(Stranger):
    """Takes every offer and answers none, under many names."""

    name = "hoarder"

    async def run(self) -> None:
        await self.crowd(10, self.attack)

    async def attack(self) -> None:
        async with self.connected() as (reader, writer):
            framework_id, stream_id = await self.subscribed(reader, writer, "hoarder")
            async for event in records(reader):
                self.counts["offers"] += len(event.get("offers", {}).get("offers", ()))
                if event["type"] == "RESCIND":
                    await self.call(framework_id, stream_id, "REVIVE")


class Flapping(Stranger):
    """Subscribes and leaves fifty times a second, half of the time before it is answered."""

    name = "flapping"

    async def attack(self) -> None:
        async with self.connected() as (reader, writer):
            if self.random.random() < 0.5:
                send(writer, subscription("hostile-flap"))
                await writer.drain()
                self.counts["left early"] += 1
            else:
                await self.subscribed(reader, writer, "flap")

    async def run(self) -> None:
        await self.forever(self.attack, 1 / FLAPS_PER_S)


class ManyFrameworks(Stranger):
    """Thousands of frameworks, hundreds at a time, that may come back for some seconds."""

    name = "frameworks"

    async def run(self) -> None:
        await self.crowd(FRAMEWORKS, self.attack)

    async def attack(self) -> None:
        async with self.connected() as (reader, writer):
            await self.subscribed(reader, writer, "crowd", FAILOVER_S)
            async with asyncio.timeout(KEPT_S * 2 * self.random.random()):
                await drained(reader, self.counts)


class Reconciler(Stranger):
    """Asks for the state of ten thousand tasks over and over, and reads the answers slowly."""

    name = "reconciler"

    async def run(self) -> None:
        await self.crowd(3, self.attack)

    async def attack(self) -> None:
        async with self.connected() as (reader, writer):
            framework_id, stream_id = await self.subscribed(reader, writer, "asking")
            tasks = [{"task_id": {"value": f"no-{number}"}} for number in range(10_000)]

            async def asking() -> None:
                while True:
                    await self.call(
                        framework_id, stream_id, "RECONCILE", reconcile={"tasks": tasks}
                    )
                    await self.pace.turn()

            async def reading() -> None:
                while data := await reader.read(100):
                    self.counts["bytes read"] += len(data)
                    await asyncio.sleep(0.5)
                raise ConnectionError("cut off")

            try:
                await together((asking(), reading()))
            except* OSError as group:
                raise ConnectionError("cut off") from group


class GarbageLinks(Hostile):
    """Speaks garbage on the agents' link: noise, huge lengths, messages in the wrong order."""

    name = "garbage_links"

    async def run(self) -> None:
        await self.crowd(10, self.attack)

    async def attack(self) -> None:
        hello = link.frame(link.Hello(link.PROTOCOL, tepui.__version__))
        status = mesos.TaskStatus(task_id=mesos.TaskID("x"), state=mesos.TaskState.TASK_RUNNING)
        update = link.frame(link.StatusUpdated("x", status, mesos.TaskState.TASK_RUNNING))
        words = self.random.choice(
            (
                self.random.randbytes(100),
                b"\x00\x00\x00\x00" * 1_000,
                b"\xff\xff\xff\xff",
                b"\x0f\xff\xff\xff" + b"x" * 1_000_000,
                b"\x00\x00\x00\x05\x95\xa5Hello",
                hello + update,
                hello + link.frame(link.Hello(99, "9")),
                hello + link.frame(link.Pong(2**62)) * 1_000,
                hello + link.frame(link.ExecutorMessage("x", "x", bytes(1_000_000))),
                hello + b"\x00\x00\x00\x64" + b"\x91" * 100,
                hello + link.frame(link.Register(info("", "cpus:1"), "", "nowhere")),
                hello + link.frame(link.Register(info("x", "cpus:1"), "", "x:99999999")),
                hello + link.frame(link.Registered("x", 1)),
            )
        )
        async with self.connected() as (reader, writer):
            send(writer, UPGRADE + words)
            async with asyncio.timeout(2):
                while await reader.read(1_000):
                    self.counts["reads"] += 1
            self.counts["cut"] += 1


class ForeignUpdates(Hostile):
    """Registers as an agent of nothing, and floods updates of others' tasks."""

    name = "foreign_updates"

    async def run(self) -> None:
        _, body = await self.ask(request("/frameworks"))
        self._frameworks = [one["id"] for one in json.loads(body)["frameworks"]] or ["none"]
        self._number = 0
        await self.crowd(3, self.attack)

    async def attack(self) -> None:
        self._number += 1
        async with self.connected() as (reader, writer):
            send(writer, UPGRADE + link.frame(link.Hello(link.PROTOCOL, tepui.__version__)))
            own = info(f"hostile{self._number}", "disk:1")
            address = f"{HOST}:{40_000 + self._number % 20_000}"
            send(writer, link.frame(link.Register(own, tepui.__version__, address)))
            async with asyncio.timeout(10):
                await read_answer(reader)
            reading = asyncio.create_task(_pongs(reader, writer))
            try:
                for _ in range(self.random.randint(1, 200)):
                    burst = [self._message("none") for _ in range(UPDATES - FORWARDED)]
                    burst += [
                        self._message(self.random.choice(self._frameworks))
                        for _ in range(FORWARDED)
                    ]
                    send(writer, b"".join(burst))
                    await writer.drain()
                    self.counts["updates"] += UPDATES
                    await self.pace.turn()
                    await asyncio.sleep(0.05)
            finally:
                reading.cancel()

    def _message(self, framework_id: str) -> bytes:
        kind = self.random.randint(0, 3)
        if kind == 0:
            return link.frame(link.ExecutorExited(framework_id, "foreign", 9, built_in=True))
        if kind == 1:
            return link.frame(link.ExecutorMessage(framework_id, "foreign", b"foreign"))
        status = mesos.TaskStatus(
            task_id=mesos.TaskID(f"foreign-{self.random.randint(0, 10)}"),
            state=self.random.choice(list(mesos.TaskState)),
            agent_id=mesos.AgentID("of-another"),
            timestamp=0.0,
            uuid=uuid4().bytes if self.random.random() < 0.9 else os.urandom(16),
            data=bytes(200),
        )
        return link.frame(link.StatusUpdated(framework_id, status, mesos.TaskState.TASK_RUNNING))


class BadExecutors(Hostile):
    """Calls an agent as executors that it does not have, with updates that cannot be."""

    name = "bad_executors"

    async def run(self) -> None:
        await self.crowd(10, self.attack)

    async def attack(self) -> None:
        who = {"framework_id": {"value": "nobody"}, "executor_id": {"value": "nobody"}}
        status: dict[str, object] = {"task_id": {"value": "x"}, "state": "TASK_RUNNING"}
        wrong = self.random.choice(
            (
                call("SUBSCRIBE", **who, subscribe={}),
                call("SUBSCRIBE", **who, subscribe={"unacknowledged_updates": [{}] * 1_000}),
                call("UPDATE", **who, update={"status": status}),
                call("UPDATE", **who, update={"status": {**status, "uuid": "!"}}),
                call("MESSAGE", **who, message={"data": "AAAA" * 100_000}),
                call("HEARTBEAT", **who),
                call("LAUNCH_NESTED_CONTAINER"),
                b"\x00" * 1_000,
            )
        )
        path = self.random.choice(("/api/v1/executor", "/api/v1/executor", "/api/v1"))
        port = self.random.choice(self.target.agents or (self.target.master,))
        await self.ask(request(path, wrong), port)


PEERS: Final[tuple[type[Hostile], ...]] = (
    BadStreamIds,
    NeverAcknowledges,
    Hoarder,
    Flapping,
    ManyFrameworks,
    Reconciler,
    GarbageLinks,
    ForeignUpdates,
    BadExecutors,
)


def info(hostname: str, resources: str) -> mesos.AgentInfo:
    """An agent of these resources."""
    return mesos.AgentInfo(
        hostname=hostname,
        port=5051,
        resources=parse_resources(resources).to_wire(role=None, refinement=True),
    )


async def _pongs(reader: Reader, writer: Writer) -> None:
    """Answer pings as an agent does."""
    messages = link.LinkReader()
    while data := await reader.read(65_536):
        for message in messages.from_master(data):
            if isinstance(message, link.Ping):
                send(writer, link.frame(link.Pong(message.sequence)))
