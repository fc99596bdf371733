"""Moves all objects from one store to another, whatever they are, and reads back what was written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec import Struct

from tepui.storage.store import Store, StoreFailed, Write, save_all

KEYS_NAMED: Final = 3  # in an error


class Copied(Struct, frozen=True):
    """What was copied, and how many objects there were in its place."""

    objects: int
    value_bytes: int
    replaced: int


class NotEmpty(StoreFailed):
    """There are objects already where some were to be copied to; nothing was written."""


class Changed(StoreFailed):
    """What was read back is not what was written."""


async def copy(source: Store, new: Callable[[], Store], *, replace: bool = False) -> Copied:
    """All objects of `source`, and no others, are in the store that `new` makes, when this returns.

    Both are opened, so whoever had them open is fenced off or this one is refused. They are closed
    again in the end. With `replace` what was there is removed. Raises StoreFailed, NotEmpty or
    Changed; when `new` was written in part only, it is not empty the next time.
    """
    try:
        objects = await source.open()
        replaced = await _write(new(), objects, replace=replace)
        await _verify(new(), objects)
    finally:
        await source.close()
    return Copied(len(objects), sum(map(len, objects.values())), replaced)


async def _write(destination: Store, objects: dict[str, bytes], *, replace: bool) -> int:
    """How many objects were there before."""
    _check_sizes(destination, objects)
    try:
        found = await destination.open()
        if found and not replace:
            raise NotEmpty(f"{len(found)} objects are there already, such as {_named(found)}")
        removals = [Write(key, None) for key in found if key not in objects]
        puts = [Write(key, objects[key]) for key in sorted(objects)]
        await save_all(destination, [*removals, *puts])
    finally:
        await destination.close()
    return len(found)


def _check_sizes(destination: Store, objects: dict[str, bytes]) -> None:
    """Before anything is written: a store may take longer values than another."""
    most = destination.value_bytes_max
    large = {key for key, value in objects.items() if len(value) > most}
    if large:
        raise StoreFailed(f"values have more than {most} bytes, which is the most: {_named(large)}")


async def _verify(destination: Store, objects: dict[str, bytes]) -> None:
    """By a store that has not written them itself."""
    try:
        found = await destination.open()
    finally:
        await destination.close()
    if found != objects:
        keys = found.keys() | objects.keys()
        others = {key for key in keys if found.get(key) != objects.get(key)}
        raise Changed(f"{len(others)} objects are not as they were written: {_named(others)}")


def _named(keys: set[str] | dict[str, bytes]) -> str:
    named = [f"'{key}'" for key in sorted(keys)[:KEYS_NAMED]]
    return ", ".join([*named, *(["..."] if len(keys) > KEYS_NAMED else [])])
