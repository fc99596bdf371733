"""Saves one object after the other in a process of its own, several at a time, until it is killed.

    python -m tests.storage.saver /path/of/the/file 17

Prints the number of each that was acknowledged, beginning with the one given; saves are in order.
"""

from __future__ import annotations

import asyncio
import os
import sys

from tepui.storage.sqlite import SqliteStore
from tepui.storage.store import Write

AT_ONCE = 4


async def save_forever(path: str, first: int) -> None:
    """Number after number."""
    store = SqliteStore(path)
    await store.open()
    os.write(1, b"open\n")

    async def save(number: int) -> None:
        await store.save((Write(f"n{number}", b"%d" % number * 500), Write("last", b"%d" % number)))
        os.write(1, b"%d\n" % number)

    while True:
        await asyncio.gather(*(save(first + offset) for offset in range(AT_ONCE)))
        first += AT_ONCE


if __name__ == "__main__":
    asyncio.run(save_forever(sys.argv[1], int(sys.argv[2])))
