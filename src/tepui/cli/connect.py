"""Reach the master, and find what an abbreviated id means."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

import click

from tepui.cli.listing import Cluster, Framework
from tepui.sdk import BadPeer, OperatorClient, Unreachable
from tepui.wire import mesos
from tepui.zookeeper.url import FILE_SCHEME, SCHEME

T = TypeVar("T")

CANDIDATES_SHOWN = 5
NOT_REACHED = "Cannot connect to host "  # as aiohttp says it, before HOST:PORT


@asynccontextmanager
async def open_master(address: str) -> AsyncIterator[OperatorClient]:
    """A client of the leading master; says what to do when there is none."""
    async with OperatorClient(address) as client:
        try:
            yield client
        except Unreachable as error:
            raise no_master(address, str(error)) from None
        except BadPeer:
            raise click.ClickException(
                f"{address} answers, but not as a master: is it the port of an agent?"
            ) from None


def get_cluster(address: str) -> Cluster:
    """Agents, frameworks and tasks, as the master knows them now."""

    async def get() -> Cluster:
        async with open_master(address) as client:
            return Cluster.of(await client.get_state())

    return asyncio.run(get())


def no_master(address: str, cause: str) -> click.ClickException:
    """The error for a master that does not answer; `cause` is what is wrong in ZooKeeper.

    It may also be that the leader of whom ZooKeeper still tells has just died.
    """
    if address.strip().startswith(SCHEME) and NOT_REACHED in cause:
        host = cause.partition(NOT_REACHED)[2].split(" ")[0]
        return click.ClickException(
            f"the master that leads at {address}, {host}, cannot be reached: if it has ended,"
            " another one leads when its session in ZooKeeper is over, 10 s later by default"
        )
    if address.strip().startswith((SCHEME, FILE_SCHEME)):
        return click.ClickException(f"{cause}: does --master or TEPUI_MASTER name your cluster?")
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


def find_framework(cluster: Cluster, given: str) -> Framework:
    """By name, if there is one of that name; else by id or a part of it."""
    named = [one for one in cluster.frameworks if one.framework_info.name == given]
    if len(named) == 1:
        return named[0]
    known = [
        (one.framework_info.id.value, one)
        for one in cluster.all_frameworks()
        if one.framework_info.id
    ]
    return find_by_id("framework", given, known)


def find_task(cluster: Cluster, given: str, framework: str | None) -> mesos.Task:
    """By id or a part of it; tasks that may run go before those that have ended."""
    tasks = cluster.all_tasks()
    if framework is not None:
        info = find_framework(cluster, framework).framework_info
        tasks = tuple(task for task in tasks if task.framework_id == info.id)
    exact = [task for task in tasks if task.task_id.value == given]
    live = [task for task in exact if task in cluster.tasks]
    if len(live) == 1:
        return live[0]
    if len(exact) > 1:
        owners = ", ".join(task.framework_id.value for task in exact[:CANDIDATES_SHOWN])
        raise click.ClickException(
            f"{len(exact)} frameworks have a task '{given}': choose with --framework: {owners}"
        )
    return find_by_id("task", given, [(task.task_id.value, task) for task in tasks])
