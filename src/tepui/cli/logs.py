"""Prints what a task has written, from its sandbox on its agent."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys

import click

from tepui.cli.connect import find_task, open_master
from tepui.cli.listing import Cluster, address_of
from tepui.sdk import CallRefused, OperatorClient, SdkError, is_terminal, sandbox_path
from tepui.wire import mesos
from tepui.wire.media import Media

POLL_MS = 200
STATE_POLL_S = 1.0  # between looks whether the task has ended


async def print_log(
    master: str, given: str, framework: str | None, name: str, *, follow: bool, as_json: bool
) -> None:
    """Print `name` (stdout or stderr) of a task; with `follow` until the task has ended.

    As JSON each piece is a line: an object with the task, the file and the text.
    """
    async with open_master(master) as client:
        cluster = Cluster.of(await client.get_state())
        task = find_task(cluster, given, framework)
        path = f"{sandbox_of(task)}/{name}"
        ended = asyncio.Event()
        watch: asyncio.Task[None] | None = None
        if follow and not is_terminal(task.state):
            watch = asyncio.create_task(_watch(client, task, ended))
        else:
            ended.set()
        try:
            async with OperatorClient(agent_address(cluster, task), media=Media.PROTOBUF) as agent:
                if not follow:
                    await _check_there(agent, path, task.task_id.value, name)
                async for piece in agent.follow_file(path, ended=ended, poll_ms=POLL_MS):
                    _print(piece, task.task_id.value, name, as_json=as_json)
        finally:
            if watch is not None:
                watch.cancel()


def _print(piece: bytes, task_id: str, name: str, *, as_json: bool) -> None:
    if as_json:
        line = {"task_id": task_id, "file": name, "text": piece.decode(errors="replace")}
        click.echo(json.dumps(line))
    else:
        sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()


async def _watch(client: OperatorClient, task: mesos.Task, ended: asyncio.Event) -> None:
    """Set `ended` when the master says that the task has ended, or does not know it any more."""
    while not ended.is_set():
        await asyncio.sleep(STATE_POLL_S)
        with contextlib.suppress(SdkError):
            live = Cluster.of(await client.get_state()).tasks
            mine = [
                one
                for one in live
                if one.task_id == task.task_id and one.framework_id == task.framework_id
            ]
            if not mine or is_terminal(mine[0].state):
                ended.set()


async def _check_there(agent: OperatorClient, path: str, task_id: str, name: str) -> None:
    try:
        await agent.read_file(path, 0, 0)
    except CallRefused as refused:
        if refused.status != 404:
            raise
        raise click.ClickException(
            f"'{task_id}' has no {name}: it did not start, or its sandbox was removed"
        ) from None


def agent_address(cluster: Cluster, task: mesos.Task) -> str:
    """host:port of the agent of the task."""
    for agent in cluster.agents:
        if agent.agent_info.id == task.agent_id:
            return address_of(agent)
    raise click.ClickException(
        f"agent {task.agent_id.value} of '{task.task_id.value}' is not registered"
    )


def sandbox_of(task: mesos.Task) -> str:
    """Where the agent shows its sandbox: of a command task its executor's, in a pod one below it."""
    if task.executor_id is None:
        return sandbox_path(task.framework_id.value, task.task_id.value)
    root = sandbox_path(task.framework_id.value, task.executor_id.value)
    for status in task.statuses:
        told = status.container_status
        if told is not None and told.container_id is not None and told.container_id.parent:
            return f"{root}/tasks/{task.task_id.value}"
    return root
