"""Reach the master, and find what an abbreviated id means."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

import click

from tepui.sdk import OperatorClient, Unreachable

T = TypeVar("T")

CANDIDATES_SHOWN = 5


@asynccontextmanager
async def open_master(address: str) -> AsyncIterator[OperatorClient]:
    """A client of the leading master; says what to do when there is none."""
    async with OperatorClient(address) as client:
        try:
            yield client
        except Unreachable:
            raise no_master(address) from None


def no_master(address: str) -> click.ClickException:
    """The error for a master that does not answer."""
    return click.ClickException(
        f"no master answers at {address}: start a cluster with 'tepui up', "
        "or name yours with --master HOST:PORT or TEPUI_MASTER"
    )


def find_by_id(kind: str, given: str, known: Iterable[tuple[str, T]]) -> T:
    """The one whose id is, or else begins or ends with, `given`.

    Ids of Mesos differ in their ends, ids of `tepui run` in their middles: so both ends count.
    """
    pairs: Sequence[tuple[str, T]] = list(known)
    for one_id, found in pairs:
        if one_id == given:
            return found
    fits = [
        (one_id, found)
        for one_id, found in pairs
        if one_id.startswith(given) or one_id.endswith(given)
    ]
    if not fits:
        raise click.ClickException(f"no {kind} '{given}'")
    if len(fits) > 1:
        shown = ", ".join(one_id for one_id, _ in fits[:CANDIDATES_SHOWN])
        more = ", ..." if len(fits) > CANDIDATES_SHOWN else ""
        raise click.ClickException(f"'{given}' could be {len(fits)} {kind}s: {shown}{more}")
    return fits[0][1]
