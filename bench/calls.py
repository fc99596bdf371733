"""A scheduler's side of HTTP, written lean: the load must not be what is measured.

`Calls` posts over keep-alive connections, one request at a time on each. `Events` reads a stream.
What is decoded is only what a scheduler needs to answer.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import cast

import msgspec
from msgspec import Struct

from bench.processes import HOST

ANSWER_END = b"\r\n\r\n"  # a 202 has no body


class Value(Struct):
    """An id."""

    value: str


class Amount(Struct):
    """The value of a scalar resource."""

    value: float


class Resource(Struct):
    """One resource of an offer; not a scalar: None."""

    name: str
    scalar: Amount | None = None


class Offer(Struct):
    """One offer."""

    id: Value
    agent_id: Value
    resources: list[Resource]

    def scalar(self, name: str) -> float:
        """How much it has of the resource."""
        return sum(r.scalar.value for r in self.resources if r.name == name and r.scalar)


class Offers(Struct):
    """The offers of one event."""

    offers: list[Offer]


class Status(Struct):
    """The news of a task; `uuid` stays in base64, as it is sent back."""

    task_id: Value
    state: str
    agent_id: Value | None = None
    uuid: str | None = None


class Update(Struct):
    """One update."""

    status: Status


class Subscribed(Struct):
    """The first event."""

    framework_id: Value


class Event(Struct):
    """What comes on the stream."""

    type: str
    subscribed: Subscribed | None = None
    offers: Offers | None = None
    update: Update | None = None


_EVENTS = msgspec.json.Decoder(Event)


class Calls:
    """Posts bodies to one path over `connections` connections, in the order given."""

    def __init__(self, port: int, path: str, headers: str = "") -> None:
        self._port = port
        self._head = (
            f"POST {path} HTTP/1.1\r\nHost: {HOST}:{port}\r\nContent-Type: application/json\r\n"
            f"Accept: application/json\r\n{headers}Content-Length: "
        ).encode()
        self._connections = 0
        self._free: list[_Connection] = []
        self._waiting: deque[bytes] = deque()
        self.answered: Callable[[], None] | None = None  # after each answer

    @property
    def idle(self) -> bool:
        """All that was posted is answered."""
        return len(self._free) == self._connections

    async def connect(self, connections: int) -> None:
        """Open the connections."""
        loop = asyncio.get_running_loop()
        self._connections = connections
        for _ in range(connections):
            await loop.create_connection(lambda: _Connection(self._next), HOST, self._port)

    def post(self, body: bytes) -> None:
        """Send now, or when a connection is free."""
        request = b"%b%d\r\n\r\n%b" % (self._head, len(body), body)
        if self._free:
            self._free.pop().write(request)
        else:
            self._waiting.append(request)

    def close(self) -> None:
        """Close what is idle."""
        for connection in self._free:
            connection.close()

    def _next(self, connection: _Connection, *, is_answer: bool) -> None:
        if self._waiting:
            connection.write(self._waiting.popleft())
        else:
            self._free.append(connection)
        if is_answer and self.answered is not None:
            self.answered()


class _Connection(asyncio.Protocol):
    """One request at a time, each answered 202."""

    def __init__(self, free: Callable[..., None]) -> None:
        self._free = free
        self._answer = b""
        self.write: Callable[[bytes], None]
        self.close: Callable[[], None]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        tcp = cast(asyncio.Transport, transport)  # TCP connections have this kind
        self.write, self.close = tcp.write, tcp.close
        self._free(self, is_answer=False)

    def data_received(self, data: bytes) -> None:
        answer = self._answer + data
        if not answer.endswith(ANSWER_END):
            self._answer = answer
            assert answer.startswith(b"HTTP/1.1 202"), answer
            return
        assert answer.startswith(b"HTTP/1.1 202"), answer
        self._answer = b""
        self._free(self, is_answer=True)


class Events(asyncio.Protocol):
    """Reads a streamed answer: one record in each chunk, as this master writes them."""

    def __init__(
        self, request: bytes, opened: Callable[[str], None], record: Callable[[bytes], None]
    ) -> None:
        self._request = request
        self._opened = opened  # called once, with the head of the answer
        self._record = record
        self._rest = b""
        self._is_open = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # TCP connections have this kind
        self._transport.write(self._request)

    def close(self) -> None:
        """Leave."""
        assert self._transport is not None
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        data = self._rest + data if self._rest else data
        at = 0
        if not self._is_open:
            at = data.find(ANSWER_END) + len(ANSWER_END)
            if at < len(ANSWER_END):
                self._rest = data
                return
            self._is_open = True
            self._opened(data[:at].decode())
        while (end := data.find(b"\r\n", at)) >= 0:
            start = end + 2
            after = start + int(data[at:end], 16)
            if len(data) < after + 2:
                break
            self._record(data[data.index(b"\n", start) + 1 : after])
            at = after + 2
        self._rest = data[at:]


class Scheduler:
    """A subscribed framework. Subclasses say what they do with offers and updates."""

    def __init__(self, port: int, name: str) -> None:
        self._port = port
        self._name = name
        self._subscribed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._events: Events | None = None
        self.framework_id = ""
        self.calls: Calls

    async def subscribe(self, connections: int) -> None:
        """Return when the framework has its id and its connections."""
        info = {
            "user": "root",
            "name": self._name,
            "roles": [self._name],
            "capabilities": [{"type": "MULTI_ROLE"}, {"type": "PARTITION_AWARE"}],
        }
        body = msgspec.json.encode({"type": "SUBSCRIBE", "subscribe": {"framework_info": info}})
        request = (
            f"POST /api/v1/scheduler HTTP/1.1\r\nHost: {HOST}:{self._port}\r\n"
            "Content-Type: application/json\r\nAccept: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        ).encode() + body
        self._events = Events(request, self._opened, self.take)
        loop = asyncio.get_running_loop()
        events = self._events
        await loop.create_connection(lambda: events, HOST, self._port)
        await self._subscribed
        await self.calls.connect(connections)

    def close(self) -> None:
        """Leave the master."""
        assert self._events is not None
        self._events.close()
        self.calls.close()

    def offered(self, offers: list[Offer]) -> None:
        """Offers have come."""

    def updated(self, status: Status) -> None:
        """An update has come; it is acknowledged already."""

    def call(self, kind: str, fields: str = "") -> bytes:
        """The body of a call; `fields` is its JSON after the type."""
        return (
            f'{{"framework_id":{{"value":"{self.framework_id}"}},"type":"{kind}"{fields}}}'.encode()
        )

    def accept(self, offer_ids: list[str], tasks: list[str]) -> None:
        """Launch the tasks, each in JSON; what is left may be offered again at once."""
        ids = ",".join(f'{{"value":"{offer_id}"}}' for offer_id in offer_ids)
        self.calls.post(
            self.call(
                "ACCEPT",
                f',"accept":{{"offer_ids":[{ids}],"operations":[{{"type":"LAUNCH","launch":'
                f'{{"task_infos":[{",".join(tasks)}]}}}}],"filters":{{"refuse_seconds":0}}}}',
            )
        )

    def task(self, task_id: str, agent_id: str, command: str, cpus: float, mem: float) -> str:
        """A task of a command in JSON."""
        resources = ",".join(
            f'{{"name":"{name}","type":"SCALAR","scalar":{{"value":{amount}}},'
            f'"allocation_info":{{"role":"{self._name}"}}}}'
            for name, amount in (("cpus", cpus), ("mem", mem))
        )
        return (
            f'{{"name":"{task_id}","task_id":{{"value":"{task_id}"}},'
            f'"agent_id":{{"value":"{agent_id}"}},"command":{{"shell":true,"value":"{command}"}},'
            f'"resources":[{resources}]}}'
        )

    def acknowledgement(self, task_id: str, agent_id: str, uuid: str) -> bytes:
        """The body that acknowledges an update."""
        return self.call(
            "ACKNOWLEDGE",
            f',"acknowledge":{{"agent_id":{{"value":"{agent_id}"}},'
            f'"task_id":{{"value":"{task_id}"}},"uuid":"{uuid}"}}',
        )

    def _opened(self, head: str) -> None:
        assert head.startswith("HTTP/1.1 200"), head
        headers = dict(line.split(": ", 1) for line in head.lower().splitlines() if ": " in line)
        stream = f"Mesos-Stream-Id: {headers['mesos-stream-id']}\r\n"
        self.calls = Calls(self._port, "/api/v1/scheduler", stream)

    def take(self, record: bytes) -> None:
        """A record of the stream."""
        event = _EVENTS.decode(record)
        if event.update is not None:
            status = event.update.status
            if status.uuid is not None and status.agent_id is not None:
                self.calls.post(
                    self.acknowledgement(status.task_id.value, status.agent_id.value, status.uuid)
                )
            self.updated(status)
        elif event.offers is not None:
            self.offered(event.offers.offers)
        elif event.subscribed is not None:
            self.framework_id = event.subscribed.framework_id.value
            self._subscribed.set_result(None)
        else:
            assert event.type == "HEARTBEAT", record
