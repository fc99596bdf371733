"""Where a registry is, as users write it; nobody may be using it who would lose it by that."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, TypeAlias

import msgspec
from msgspec import Struct

from tepui.base.errors import Refused
from tepui.election.group import candidates
from tepui.election.info import leader_address
from tepui.master.core.actions import AgentAdmitted, AgentGone, AgentUnreachable, WeightSet
from tepui.master.core.registry import Registered
from tepui.master.daemon.main import REGISTRY
from tepui.storage.sqlite import SqliteStore
from tepui.storage.store import Store, StoreFailed
from tepui.storage.zookeeper import ZooKeeperStore
from tepui.zookeeper.errors import NoNode, ZooKeeperFailed
from tepui.zookeeper.session import ZooKeeperSession
from tepui.zookeeper.url import SCHEME, ZkUrl, parse_zk_url

SQLITE: Final = "sqlite:"
FILE_NAME: Final = "registry.db"  # in a master's work_dir
SUFFIX: Final = ".db"
CONNECT_S: Final = 10.0
FORMS: Final = "sqlite:PATH (a registry.db, or the work_dir it is in) or zk://HOST:PORT,.../PATH"

Place: TypeAlias = Path | ZkUrl
NewStore: TypeAlias = Callable[[], Store]  # of one place, one after the other


class Row(Struct, frozen=True):
    """One object, as far as this version knows it."""

    key: str
    kind: str
    value_bytes: int
    says: str


def parse_place(text: str) -> Place:
    """The file, or the path that masters are given with --zk. Raises Refused.

    What is not there and is not named `*.db` is a work_dir to be.
    """
    if text.startswith(SCHEME):
        return parse_zk_url(text)
    if not text.startswith(SQLITE) or text == SQLITE:
        raise Refused(f"registry '{text}': expected {FORMS}")
    path = Path(text.removeprefix(SQLITE)).absolute()
    is_file = path.is_file() or (path.suffix == SUFFIX and not path.is_dir())
    return path if is_file else path / FILE_NAME


@asynccontextmanager
async def opened(place: Place, *, makes: bool) -> AsyncIterator[NewStore]:
    """Makes stores at the place, which nobody else uses. Raises StoreFailed.

    A file that is not there is only made when it is said so. Who has a file open has locked it;
    masters at a ZooKeeper are known by their candidacy, and no store is opened beneath them.
    """
    if isinstance(place, Path):
        if not makes and not place.is_file():
            raise StoreFailed(f"there is no registry at '{place}'")
        place.parent.mkdir(parents=True, exist_ok=True)
        yield lambda: SqliteStore(place)
        return
    session = ZooKeeperSession(place)
    session.start()
    path = f"{place.path.rstrip('/')}/{REGISTRY}"
    try:
        await _look(session, None if makes else path)
        yield lambda: ZooKeeperStore(session, path)
    finally:
        await session.close()


async def _look(session: ZooKeeperSession, path: str | None) -> None:
    """There is ZooKeeper, no master, and something at `path`. Raises StoreFailed."""
    url = session.url
    try:
        async with asyncio.timeout(CONNECT_S):
            await session.connected()
    except TimeoutError:
        text = f"ZooKeeper at {url.hosts} cannot be reached within {CONNECT_S:g} s"
        raise StoreFailed(text) from None
    try:
        await _refuse_masters(session, url.path)
        if path is not None:
            await session.get(path)
    except NoNode:
        raise StoreFailed(f"there is no registry at {url}") from None
    except ZooKeeperFailed as error:
        raise StoreFailed(f"{url}: {error}") from None


async def _refuse_masters(session: ZooKeeperSession, path: str) -> None:
    """Raises StoreFailed that names the masters which stand for election."""
    try:
        found = candidates(await session.children(path))
    except NoNode:
        return
    addresses = []
    for _, name in found:
        try:
            node = await session.get(f"{path.rstrip('/')}/{name}")
        except NoNode:
            continue
        addresses.append(leader_address(node.data) or name)
    if addresses:
        raise StoreFailed(
            f"masters use the registry at {session.url}: stop {', '.join(addresses)} first"
            " (one that was killed is gone when its session ends, 10 s later by default)"
        )


def shown(key: str, value: bytes) -> Row:
    """The object in words; what a later version has written is shown as it is."""
    try:
        found = msgspec.msgpack.decode(value, type=Registered)
    except (msgspec.DecodeError, RecursionError):
        return Row(key, "unknown to this version", len(value), _raw(value))
    match found:
        case AgentAdmitted(info=info, deactivated=deactivated):
            says = f"{info.hostname}:{info.port}{', deactivated' if deactivated else ''}"
        case AgentUnreachable(info=info) | AgentGone(info=info):
            says = f"{info.hostname}:{info.port}"
        case WeightSet(role=role, weight=weight):
            says = f"{role}={weight:g}"
        case _:
            says = _raw(value)
    return Row(key, type(found).__name__, len(value), says)


def _raw(value: bytes) -> str:
    try:
        return json.dumps(msgspec.msgpack.decode(value), default=str)
    except (msgspec.DecodeError, TypeError, ValueError, RecursionError):  # or JSON can't say it
        return repr(value)
