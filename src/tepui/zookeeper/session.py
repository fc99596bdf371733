"""One session with ZooKeeper, for a running asyncio loop; kazoo and its threads end here.

kazoo reads its socket in a thread and calls back in others. What it calls only hands over to the
loop, so nothing of ours blocks it: it goes on answering ZooKeeper's pings when the loop is busy.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from kazoo.client import KazooClient
from kazoo.exceptions import (
    BadVersionError,
    ConnectionClosedError,
    ConnectionLoss,
    KazooException,
    NodeExistsError,
    NoNodeError,
    OperationTimeoutError,
    RolledBackError,
    SessionExpiredError,
    SessionMovedError,
    UnimplementedError,
)
from kazoo.handlers.threading import KazooTimeoutError, SequentialThreadingHandler
from kazoo.protocol.connection import _CONNECTION_DROP
from kazoo.protocol.states import KazooState
from kazoo.retry import KazooRetry
from kazoo.security import CREATOR_ALL_ACL, OPEN_ACL_UNSAFE, READ_ACL_UNSAFE
from msgspec import Struct

from tepui.zookeeper.errors import (
    BadVersion,
    ConnectionLost,
    NodeExists,
    NoNode,
    SessionEnded,
    Unimplemented,
    ZooKeeperFailed,
)
from tepui.zookeeper.many import Answer, ReadMany
from tepui.zookeeper.url import ZkUrl

TIMEOUT_MS: Final = 10_000  # of the session, as in Mesos (master/contender/zookeeper.cpp)
REQUEST_S: Final = 15.0  # for an answer, reconnecting included
RECONNECT_FIRST_S: Final = 0.05
RECONNECT_LAST_S: Final = 0.5  # kazoo's own minute would outlast every session
UNCONNECTED_S: Final = 5.0  # without a connection, from one line of the log to the next

Result = TypeVar("Result")

log = logging.getLogger("tepui.zookeeper")
_kazoo_log = logging.getLogger("tepui.zookeeper.kazoo")
_kazoo_log.setLevel(logging.ERROR)  # we tell ourselves when a connection comes and goes


class SessionState(enum.Enum):
    """What is known of the session."""

    CONNECTED = "connected"
    SUSPENDED = "suspended"  # no connection; the session may still be alive, or not
    ENDED = "ended"  # expired, or closed by us; a new one is begun unless we closed it


class Node(Struct, frozen=True):
    """A node as it was read."""

    data: bytes
    version: int  # how often its data has been set
    owner: int  # the session whose end removes it; 0: none
    children: int


class Create(Struct, frozen=True):
    """A part of a transaction: make a node; its parent must be there."""

    path: str
    data: bytes


class Put(Struct, frozen=True):
    """A part of a transaction: set the data of a node that has this version; -1: any."""

    path: str
    data: bytes
    version: int = -1


class Delete(Struct, frozen=True):
    """A part of a transaction: remove a node that has no children."""

    path: str


class Check(Struct, frozen=True):
    """A part of a transaction: refuse it all when there is no such node."""

    path: str


Part = Create | Put | Delete | Check


class Rejected(ZooKeeperFailed):
    """A transaction was refused because of its part number `part`; nothing has changed."""

    def __init__(self, part: int, cause: ZooKeeperFailed) -> None:
        super().__init__(str(cause))
        self.part = part
        self.cause = cause


class ZooKeeperSession:
    """A session that is kept for as long as it is open, through lost connections and expiry.

        session = ZooKeeperSession(parse_zk_url("zk://h1:2181,h2:2181/mesos"))
        session.start()                    # connects, soon; also while no server answers
        await session.connected()
        ... requests; each raises ZooKeeperFailed or one of its kind ...
        await session.close()              # its ephemeral nodes are removed

    When ZooKeeper has ended a session the next is begun by itself: `life` is one greater then, and
    who needs the same session throughout compares it. Requests wait while there is no connection,
    for REQUEST_S. Those that were sent when it broke raise ConnectionLost.
    """

    def __init__(self, url: ZkUrl, timeout_ms: int = TIMEOUT_MS) -> None:
        self.url = url
        self.life = 0
        self.state = SessionState.SUSPENDED
        self.timeout_ms = timeout_ms  # what the servers agreed to, once connected
        self._listeners: list[Callable[[SessionState], None]] = []
        self._connected = asyncio.Event()
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._alarm: asyncio.TimerHandle | None = None  # while there is no connection
        self._client = self._kazoo(url, timeout_ms)

    def _kazoo(self, url: ZkUrl, timeout_ms: int) -> Any:  # Any: kazoo has no types
        acl = OPEN_ACL_UNSAFE
        if url.credentials is not None:
            acl = [*READ_ACL_UNSAFE, *CREATOR_ALL_ACL]  # as Mesos: everyone reads, we write
        handler = SequentialThreadingHandler()
        connect = handler.create_connection

        def connect_in_time(*args: Any, **options: Any) -> Any:
            # kazoo gives one dead host the whole time that the session has.
            options["timeout"] = timeout_ms / 3000 / len(url.servers)
            return connect(*args, **options)

        handler.create_connection = connect_in_time
        client = KazooClient(
            hosts=url.hosts,
            timeout=timeout_ms / 1000,
            handler=handler,
            default_acl=acl,
            auth_data=None if url.credentials is None else [("digest", url.credentials)],
            connection_retry=KazooRetry(
                max_tries=-1, delay=RECONNECT_FIRST_S, max_delay=RECONNECT_LAST_S
            ),
            logger=_kazoo_log,
        )
        greet = client._connection._connect

        def greet_and_note(*args: Any) -> Any:
            # The only place that knows what the servers agreed to: two thirds of it is returned.
            answered = greet(*args)
            self.timeout_ms = int(answered[0] * 3 / 2)
            return answered

        client._connection._connect = greet_and_note
        return client

    def start(self) -> None:
        """Connect soon, and whenever the connection is lost. Called once, in the loop."""
        self._loop = asyncio.get_running_loop()
        self._client.add_listener(self._kazoo_changed)
        self._client.start_async()
        self._alarm = self._loop.call_later(UNCONNECTED_S, self._say_unconnected)

    def _say_unconnected(self) -> None:
        """A wrong URL shows in the log, for kazoo tries again for ever without a word."""
        log.info("session_not_connected url=%s", self.url)
        self._alarm = asyncio.get_running_loop().call_later(UNCONNECTED_S, self._say_unconnected)

    def _quiet(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    async def close(self) -> None:
        """End the session; its ephemeral nodes are removed, at once if a server can be reached."""
        if self._closed:
            return
        self._closed = True
        self._quiet()
        await asyncio.to_thread(self._stop)

    def _stop(self) -> None:
        try:
            self._client.stop()
            self._client.close()
        except Exception as error:  # kazoo's own and those of its sockets; we are done with it
            log.warning("session_not_closed url=%s error=%s", self.url, error)

    @property
    def id(self) -> int:
        """The number of the session, as it stands in its ephemeral nodes; 0: none yet."""
        return int(self._client._session_id or 0)

    def listen(self, told: Callable[[SessionState], None]) -> Callable[[], None]:
        """`told` is called in the loop with every new state; the function returned ends that."""
        self._listeners.append(told)

        def end() -> None:
            if told in self._listeners:
                self._listeners.remove(told)

        return end

    async def connected(self) -> None:
        """There is a connection when this returns; that may take for ever."""
        await self._connected.wait()

    def reconnect(self) -> None:
        """Give up this connection for another one, perhaps to another server: it is too slow."""
        if self.state is SessionState.CONNECTED:
            self._client._call(_CONNECTION_DROP, self._client.handler.async_result())

    def _kazoo_changed(self, state: str) -> None:
        """Called by kazoo's threads."""
        new = {
            KazooState.CONNECTED: SessionState.CONNECTED,
            KazooState.SUSPENDED: SessionState.SUSPENDED,
            KazooState.LOST: SessionState.ENDED,
        }[state]
        self._hand_over(self._changed, new)

    def _changed(self, state: SessionState) -> None:
        log.info("session_%s url=%s id=%#x", state.value, self.url, self.id)
        self.state = state
        if state is SessionState.ENDED:
            self.life += 1
        self._quiet()
        if state is not SessionState.CONNECTED and not self._closed:
            self._alarm = asyncio.get_running_loop().call_later(
                UNCONNECTED_S, self._say_unconnected
            )
        if state is SessionState.CONNECTED:
            self._connected.set()
        else:
            self._connected.clear()
        for told in list(self._listeners):
            told(state)

    def _hand_over(self, function: Callable[..., None], *args: Any) -> None:
        assert self._loop is not None, "the session was not started"
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            self._loop.call_soon_threadsafe(function, *args)

    # Requests

    async def get(self, path: str) -> Node:
        """The node at `path`. Raises NoNode."""
        return _node(await self._ask(self._client.get_async(path)))

    async def get_many(self, paths: Sequence[str]) -> list[Node]:
        """The nodes at `paths`, for a small part of what it costs to get each.

        Raises NoNode when one is missing, and Unimplemented: the server is older than 3.6. Such a
        server closes the connection as well.
        """
        asked = self._client.handler.async_result()
        self._client._call(ReadMany(paths), asked)
        answers: list[Answer] = await self._ask(asked)
        for answer in answers:
            if isinstance(answer, Exception):
                raise _translated(answer)
        return list(map(_node, answers))

    async def children(self, path: str, changed: Callable[[], None] | None = None) -> list[str]:
        """The names below `path`; `changed` is called once when they may be others. Raises NoNode."""
        watch = None
        if changed is not None:
            watch = lambda event: self._hand_over(changed)  # noqa: E731 -- kazoo passes an event
        names: list[str] = await self._ask(self._client.get_children_async(path, watch=watch))
        return names

    async def create(
        self, path: str, data: bytes, *, ephemeral: bool = False, sequence: bool = False
    ) -> str:
        """Make a node; the path it got. Raises NoNode without a parent, and NodeExists."""
        made: str = await self._ask(
            self._client.create_async(path, data, ephemeral=ephemeral, sequence=sequence)
        )
        return made

    async def ensure(self, path: str) -> None:
        """There is a node at `path`, and at all above it."""
        with contextlib.suppress(NoNode):
            await self.get(path)  # first: who may not make it may well read it
            return
        await self.ensure(path.rpartition("/")[0] or "/")
        with contextlib.suppress(NodeExists):
            await self.create(path, b"")

    async def put(self, path: str, data: bytes, version: int = -1) -> int:
        """Set the data of a node that has this version (-1: any); the version it got.

        Raises NoNode and BadVersion.
        """
        stat = await self._ask(self._client.set_async(path, data, version))
        return int(stat.version)

    async def delete(self, path: str) -> None:
        """Remove a node. Raises NoNode."""
        await self._ask(self._client.delete_async(path))

    async def commit(self, parts: Sequence[Part]) -> None:
        """All parts, or none of them. Raises Rejected.

        A majority of the servers has it when this returns, also when it only checks.
        """
        transaction = self._client.transaction()
        for part in parts:
            match part:
                case Create(path=path, data=data):
                    transaction.create(path, data)
                case Put(path=path, data=data, version=version):
                    transaction.set_data(path, data, version)
                case Delete(path=path):
                    transaction.delete(path)
                case Check(path=path):
                    transaction.check(path, -1)
        results: list[object] = await self._ask(transaction.commit_async())
        for number, result in enumerate(results):
            if isinstance(result, Exception) and not isinstance(result, RolledBackError):
                raise Rejected(number, _translated(result))

    def check_now(self, path: str, timeout_s: float) -> None:
        """The same as a `commit` of one Check, for a thread that may wait.

        Raises NoNode, and TimeoutError when there is no answer in time.
        """
        transaction = self._client.transaction()
        transaction.check(path, -1)
        try:
            (result,) = transaction.commit_async().get(timeout=timeout_s)
        except KazooTimeoutError:
            raise TimeoutError from None
        except Exception as error:  # kazoo's own and those of its sockets
            raise _translated(error) from error
        if isinstance(result, Exception):
            raise _translated(result)

    async def _ask(self, asked: Any) -> Any:  # Any: what kazoo returns
        """The answer to what was asked of kazoo. Raises ZooKeeperFailed."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def settle(value: Any, error: BaseException | None) -> None:
            if answer.done():
                return
            if error is None:
                answer.set_result(value)
            else:
                answer.set_exception(_translated(error))

        def answered(result: Any) -> None:  # in a thread of kazoo's
            error = result.exception
            self._hand_over(settle, None if error else result.value, error)

        asked.rawlink(answered)
        try:
            async with asyncio.timeout(REQUEST_S):
                return await answer
        except TimeoutError:
            raise ConnectionLost(f"{self.url} has not answered for {REQUEST_S:g} s") from None


def _node(answer: Any) -> Node:  # Any: kazoo has no types
    data, stat = answer
    return Node(data or b"", stat.version, stat.ephemeralOwner, stat.numChildren)


KINDS: Final[tuple[tuple[tuple[type[BaseException], ...], type[ZooKeeperFailed]], ...]] = (
    ((NoNodeError,), NoNode),
    ((NodeExistsError,), NodeExists),
    ((BadVersionError,), BadVersion),
    ((UnimplementedError,), Unimplemented),
    ((SessionExpiredError, ConnectionClosedError), SessionEnded),
    (
        (ConnectionLoss, OperationTimeoutError, SessionMovedError, KazooTimeoutError),
        ConnectionLost,
    ),
    ((KazooException,), ZooKeeperFailed),
)


def _translated(error: BaseException) -> ZooKeeperFailed:
    text = f"{type(error).__name__.removesuffix('Error')} {error}".strip()
    for theirs, ours in KINDS:
        if isinstance(error, theirs):
            return ours(text)
    return ZooKeeperFailed(text)
