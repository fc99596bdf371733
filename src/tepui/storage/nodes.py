"""Decides which nodes of ZooKeeper to make, set and remove for which writes; it asks nobody.

An object is the data of one node, as it is, so that an operator can read it with `zkCli.sh`. A node
that is only the parent of others has no data. So that `b""` is a value, too, it is written as one
zero byte, and a value that begins with a zero byte gets one more before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from tepui.storage.store import Write
from tepui.zookeeper.session import Create, Delete, Part, Put

GROUP_PARTS_MAX: Final = 1_000  # of one transaction
GROUP_BYTES_MAX: Final = 1_000_000  # a server reads requests of 1,048,575 bytes (jute.maxbuffer)
PART_BYTES: Final = 256  # what a part has besides path and data: lengths, and who may do what


def encoded(value: bytes) -> bytes:
    """The data of the node of an object."""
    return b"\0" + value if value[:1] in (b"", b"\0") else value


def decoded(data: bytes) -> bytes | None:
    """The object in the data of a node; None: it is a parent only."""
    if not data:
        return None
    return data.removeprefix(b"\0")


class Nodes:
    """The nodes below `path`, as they are when all parts that were returned are carried out."""

    def __init__(self, path: str, found: Iterable[tuple[str, bool]] = ()) -> None:
        """`found` are all keys that have a node, and whether it is an object."""
        self._path = path
        self._objects = dict(found)  # False: a parent only
        self._children: dict[str, int] = {}  # how many; there is no 0
        for key in self._objects:
            self._count(key, 1)

    def parts(self, write: Write) -> Iterator[Part]:
        """What `write` changes, in order; its last part is the object itself."""
        key = write.key
        if write.value is None:
            yield from self._remove(key)
        elif key in self._objects:
            self._objects[key] = True
            yield Put(self._node(key), encoded(write.value))
        else:
            yield from self._parents(key)
            self._add(key, is_object=True)
            yield Create(self._node(key), encoded(write.value))

    def _remove(self, key: str) -> Iterator[Part]:
        if not self._objects.get(key):
            return
        if key in self._children:
            self._objects[key] = False
            yield Put(self._node(key), b"")
        else:
            del self._objects[key]
            self._count(key, -1)
            yield Delete(self._node(key))

    def _parents(self, key: str) -> Iterator[Part]:
        end = key.find("/")
        while end >= 0:
            if key[:end] not in self._objects:
                self._add(key[:end], is_object=False)
                yield Create(self._node(key[:end]), b"")
            end = key.find("/", end + 1)

    def _add(self, key: str, *, is_object: bool) -> None:
        self._objects[key] = is_object
        self._count(key, 1)

    def _count(self, key: str, change: int) -> None:
        parent, slash, _ = key.rpartition("/")
        if slash:
            count = self._children.pop(parent, 0) + change
            if count:
                self._children[parent] = count

    def _node(self, key: str) -> str:
        return f"{self._path}/{key}"


def groups(parts: Iterable[Part]) -> Iterator[list[Part]]:
    """The parts in their order, as many in each group as one transaction may have; one at least."""
    group: list[Part] = []
    room_bytes = GROUP_BYTES_MAX
    for part in parts:
        size_bytes = PART_BYTES + len(part.path)
        if isinstance(part, Create | Put):
            size_bytes += len(part.data)
        if group and (len(group) == GROUP_PARTS_MAX or size_bytes > room_bytes):
            yield group
            group, room_bytes = [], GROUP_BYTES_MAX
        group.append(part)
        room_bytes -= size_bytes
    yield group
