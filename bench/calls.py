"""A scheduler's side of HTTP, written lean: the load must not be what is measured.

`Calls` posts over keep-alive connections. `Events` reads a stream.
What is decoded is only what a scheduler needs to answer.
"""

from __future__ import annotations

import asyncio
from array import array
from collections import deque
from collections.abc import Callable
from time import perf_counter
from typing import cast

import msgspec
from msgspec import Struct

from bench.faults import fault
from bench.processes import HOST

HEAD_END = b"\r\n\r\n"
SUBSCRIBED_S = 30.0  # the first event has come by then
FAILOVER_S = 604_800.0  # how long a framework that comes back may be away
ACCEPTED = b"HTTP/1.1 202"  # has no body


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
    message: str | None = None
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
    """Posts bodies to one path over `connections` connections, in the order given.

    `depth` requests may be under way on each connection; of more than one (pipelining) those of
    one turn are one write.
    """

    def __init__(self, port: int, path: str, headers: str = "", depth: int = 1) -> None:
        self._port = port
        self._depth = depth
        self._head = (
            f"POST {path} HTTP/1.1\r\nHost: {HOST}:{port}\r\nContent-Type: application/json\r\n"
            f"Accept: application/json\r\n{headers}Content-Length: "
        ).encode()
        self._connections: list[_Connection] = []
        self._free: list[_Connection] = []  # each as often as it has room
        self._waiting: deque[bytes] = deque()
        self.answered: Callable[[], None] | None = None  # after each answer
        self.answer_s = array("d")  # from writing a request to its answer

    @property
    def idle(self) -> bool:
        """All that was posted is answered."""
        return len(self._free) == len(self._connections) * self._depth

    async def connect(self, connections: int) -> None:
        """Open the connections; what was posted before goes over the first of them."""
        loop = asyncio.get_running_loop()
        for _ in range(connections):
            _, connection = await loop.create_connection(
                lambda: _Connection(self._next, coalesces=self._depth > 1), HOST, self._port
            )
            self._connections.append(connection)
            for _ in range(self._depth):
                self._has_room(connection)

    def request(self, body: bytes) -> bytes:
        """What is sent for the body."""
        return b"%b%d\r\n\r\n%b" % (self._head, len(body), body)

    def post(self, body: bytes) -> None:
        """Send now, or when a connection has room."""
        self.send(self.request(body))

    def send(self, request: bytes) -> None:
        """Send a request that is prepared."""
        if self._free:
            self._free.pop().send(request)
        else:
            self._waiting.append(request)

    def close(self) -> None:
        """Leave."""
        for connection in self._connections:
            connection.close()

    def _next(self, connection: _Connection, answer_s: float) -> None:
        self.answer_s.append(answer_s)
        self._has_room(connection)
        if self.answered is not None:
            self.answered()

    def _has_room(self, connection: _Connection) -> None:
        if self._waiting:
            connection.send(self._waiting.popleft())
        else:
            self._free.append(connection)


class _Connection(asyncio.Protocol):
    """Requests that are each answered 202, in order; all else is a fault."""

    def __init__(self, answered: Callable[[_Connection, float], None], *, coalesces: bool) -> None:
        self._answered = answered
        self._coalesces = coalesces
        self._rest = b""
        self._sent_s: deque[float] = deque()
        self._unsent: list[bytes] = []
        self._is_closed = False
        self._transport: asyncio.Transport
        self._write: Callable[[bytes], None]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # TCP connections have this kind
        self._write = self._transport.write

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._is_closed:
            fault(f"the server closed a connection with {len(self._sent_s)} requests under way")

    def send(self, request: bytes) -> None:
        """Send now; or with all else of this turn."""
        self._sent_s.append(perf_counter())
        if not self._coalesces:
            self._write(request)
            return
        if not self._unsent:
            asyncio.get_running_loop().call_soon(self._flush)
        self._unsent.append(request)

    def close(self) -> None:
        """Leave."""
        self._is_closed = True
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        data = self._rest + data if self._rest else data
        now_s = perf_counter()
        at = 0
        while (end := data.find(HEAD_END, at)) >= 0:
            # The loop closes the connection then, so what follows is not taken for an answer.
            assert data.startswith(ACCEPTED, at), data[at:]
            at = end + len(HEAD_END)
            self._answered(self, now_s - self._sent_s.popleft())
        self._rest = data[at:]

    def _flush(self) -> None:
        self._write(b"".join(self._unsent))
        self._unsent.clear()


class Pieces:
    """Bytes that come in pieces; they are joined when as many are there as are wanted.

    An event with the offers of twenty thousand agents comes in hundreds of pieces.
    """

    def __init__(self) -> None:
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._wanted_bytes = 0

    def joined(self, data: bytes) -> bytes:
        """All that is there; nothing while it is less than was wanted."""
        self._held.append(data)
        self._held_bytes += len(data)
        return b"".join(self._held) if self._held_bytes >= self._wanted_bytes else b""

    def keep(self, rest: bytes, wanted_bytes: int = 0) -> None:
        """Only this is there, and so much is wanted, if that is known."""
        self._held, self._held_bytes, self._wanted_bytes = [rest], len(rest), wanted_bytes


class Events(asyncio.Protocol):
    """Reads a streamed answer: chunks (RFC 9112, 7.1), and in them records (RecordIO)."""

    def __init__(
        self, request: bytes, opened: Callable[[str], None], record: Callable[[bytes], None]
    ) -> None:
        self._request = request
        self._opened = opened  # called once, with the head of the answer
        self._record = record
        self._rest = Pieces()  # of a chunk
        self._part = Pieces()  # of a record
        self._is_open = False
        self._is_closed = False
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # TCP connections have this kind
        self._transport.write(self._request)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._is_closed:
            fault("the server ended the stream")

    def close(self) -> None:
        """Leave."""
        self._is_closed = True
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        data = self._rest.joined(data)
        if not data:
            return
        at = wanted = 0
        if not self._is_open:
            at = data.find(HEAD_END) + len(HEAD_END)
            if at < len(HEAD_END):
                self._rest.keep(data)
                return
            self._is_open = True
            self._opened(data[:at].decode())
        while (end := data.find(b"\r\n", at)) >= 0:
            start = end + 2
            after = start + int(data[at:end], 16)
            if len(data) < after + 2:
                wanted = after + 2 - at
                break
            self._take(data[start:after])
            at = after + 2
        self._rest.keep(data[at:], wanted)

    def _take(self, chunk: bytes) -> None:
        """Pass on the records that end in the chunk."""
        chunk = self._part.joined(chunk)
        at = wanted = 0
        while (end := chunk.find(b"\n", at)) >= 0:
            after = end + 1 + int(chunk[at:end])
            if len(chunk) < after:
                wanted = after - at
                break
            self._record(chunk[end + 1 : after])
            at = after
        self._part.keep(chunk[at:], wanted)


class Scheduler:
    """A subscribed framework. Subclasses say what they do with offers and updates."""

    def __init__(self, port: int, name: str, depth: int = 1) -> None:
        self._port = port
        self._name = name
        self._depth = depth
        self._call = ""  # how each call begins
        self._resources: dict[tuple[float, float], str] = {}  # of cpus and mem, in JSON
        self._subscribed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._events: Events | None = None
        self.framework_id = ""
        self.calls: Calls

    async def subscribe(self, connections: int, framework_id: str | None = None) -> None:
        """Return when the framework has its id and its connections; with an id it comes back."""
        info: dict[str, object] = {
            "user": "root",
            "name": self._name,
            "roles": [self._name],
            "capabilities": [{"type": "MULTI_ROLE"}, {"type": "PARTITION_AWARE"}],
        }
        call: dict[str, object] = {"type": "SUBSCRIBE", "subscribe": {"framework_info": info}}
        if framework_id is not None:
            info |= {"id": {"value": framework_id}, "failover_timeout": FAILOVER_S}
            call["framework_id"] = info["id"]
        body = msgspec.json.encode(call)
        request = (
            f"POST /api/v1/scheduler HTTP/1.1\r\nHost: {HOST}:{self._port}\r\n"
            "Content-Type: application/json\r\nAccept: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        ).encode() + body
        self._events = Events(request, self._opened, self.take)
        loop = asyncio.get_running_loop()
        events = self._events
        await loop.create_connection(lambda: events, HOST, self._port)
        await asyncio.wait_for(self._subscribed, SUBSCRIBED_S)
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
        return f'{self._call}"{kind}"{fields}}}'.encode()

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
        resources = self._resources.get((cpus, mem))
        if resources is None:
            resources = self._resources[cpus, mem] = ",".join(
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
        self.calls = Calls(self._port, "/api/v1/scheduler", stream, self._depth)

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
            self._call = f'{{"framework_id":{{"value":"{self.framework_id}"}},"type":'
            self._subscribed.set_result(None)
        elif event.type != "HEARTBEAT":
            fault(f"an event that nothing here calls for: {record!r}")
