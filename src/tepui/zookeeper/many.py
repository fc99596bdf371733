"""A request for many nodes at once, which kazoo has not: `multiRead` of ZooKeeper 3.6 and later.

Source: ZooKeeper's zookeeper.jute, MultiOperationRecord.java and MultiResponse.java.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

from kazoo.exceptions import EXCEPTIONS, KazooException
from kazoo.protocol.serialization import (
    GetData,
    MultiHeader,
    int_struct,
    multiheader_struct,
    stat_struct,
)
from kazoo.protocol.states import ZnodeStat

ERROR: Final = -1  # the type of the answer for a node that can't be read

Answer: TypeAlias = tuple[bytes, ZnodeStat] | KazooException  # for one node


class ReadMany:
    """What kazoo's connection needs of a request; its answers are in the order of the paths."""

    type: Final = 22

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = paths

    def serialize(self) -> bytes:
        """The request, behind its header."""
        header = multiheader_struct.pack(GetData.type, False, -1)
        parts = [header + bytes(GetData(path, None).serialize()) for path in self._paths]
        return b"".join([*parts, multiheader_struct.pack(-1, True, -1)])

    @staticmethod
    def deserialize(buffer: bytes, offset: int) -> list[Answer]:
        """The answers that begin at `offset`."""
        found: list[Answer] = []
        while True:
            header, offset = MultiHeader.deserialize(buffer, offset)
            if header.done:
                return found
            if header.type == ERROR:
                (code,) = int_struct.unpack_from(buffer, offset)
                offset += int_struct.size
                found.append(EXCEPTIONS[code]())
            else:
                data, stat = GetData.deserialize(buffer, offset)
                offset += int_struct.size + len(data or b"") + stat_struct.size
                found.append((data or b"", stat))
