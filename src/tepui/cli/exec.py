"""`tepui task exec` and `attach`: this terminal becomes that of a process on another machine."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import termios
import threading
import tty
from collections.abc import AsyncIterator, Iterator

import click

from tepui.cli.inside import Inside
from tepui.sdk import CallRefused, Disconnected, SdkError, Unreachable
from tepui.sdk.reach import ContainerClient, stdin_message, window_message
from tepui.wire import mesos
from tepui.wire.agent import ProcessIO

READ_BYTES = 256 * 1024
QUEUE_MAX = 16  # pieces that were read here and not yet sent
SIGNAL_BASE = 128  # as shells have it
INPUT_END_S = 2.0
DETACH = b"\x10\x11"  # Ctrl-P Ctrl-Q, as Docker has it
TYPED_END = b"\x04"  # Ctrl-D: how a terminal is told that nothing more comes
EXIT_NOT_STARTED = 126


async def execute(
    inside: Inside, command: tuple[str, ...], *, interactive: bool, terminal: bool
) -> int:
    """Run the command in the task's container; its exit code."""
    info = mesos.CommandInfo(value=command[0], arguments=command, shell=False)
    asked = _tty_info() if terminal else None
    session = inside.new_session()
    async with ContainerClient(inside.address) as agent:
        try:
            async with agent.session(session, info, asked) as output:
                # Asked now: nothing is kept of a session whose task has ended.
                ending = asyncio.create_task(agent.wait(session))
                try:
                    await _converse(agent, session, output, types=interactive, terminal=terminal)
                    code = exit_code(await ending)
                finally:
                    ending.cancel()
                    await asyncio.gather(ending, return_exceptions=True)
        except CallRefused as refused:
            click.echo(f"tepui: {refused.text}", err=True)
            return EXIT_NOT_STARTED
        except (Disconnected, Unreachable):
            raise _lost(inside) from None
        with contextlib.suppress(SdkError):
            await agent.remove(session)
        return code


async def attach(inside: Inside, *, interactive: bool) -> int:
    """Be at the terminal of the task itself, until it ends or Ctrl-P Ctrl-Q is typed."""
    async with ContainerClient(inside.address) as agent:
        try:
            async with agent.output(inside.container_id) as output:
                target = inside.container_id
                await _converse(
                    agent, target, output, types=interactive, terminal=True, can_detach=True
                )
        except CallRefused as refused:
            raise click.ClickException(refused.text) from None
        except (Disconnected, Unreachable):
            raise _lost(inside) from None
    return 0


def _lost(inside: Inside) -> click.ClickException:
    return click.ClickException(
        f"the agent at {inside.address} does not answer any more: how it ends is not known"
    )


def exit_code(status: int | None) -> int:
    """A wait status as an exit code; 1 when nobody knows it."""
    if status is None:
        return 1
    if os.WIFSIGNALED(status):
        return SIGNAL_BASE + os.WTERMSIG(status)
    return os.WEXITSTATUS(status)


async def _converse(
    agent: ContainerClient,
    target: mesos.ContainerID,
    output: AsyncIterator[ProcessIO],
    *,
    types: bool,
    terminal: bool,
    can_detach: bool = False,
) -> None:
    """What is typed goes there and what is written comes here, until the output ends."""
    is_raw = terminal and types and os.isatty(0)
    messages: asyncio.Queue[ProcessIO | None] = asyncio.Queue(QUEUE_MAX)
    detached = asyncio.Event()
    with raw_terminal() if is_raw else contextlib.nullcontext():
        if terminal and os.isatty(0):
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGWINCH, _resized, messages)
            _resized(messages)
        if types:
            end = TYPED_END if terminal and not is_raw else b""
            _read_stdin(messages, detached, end, is_raw=is_raw, can_detach=can_detach)
        elif not terminal:
            messages.put_nowait(stdin_message(b""))  # whoever reads finds the end at once
        sending = asyncio.create_task(_send(agent, target, messages))
        showing = asyncio.create_task(_show(output))
        leaving = asyncio.create_task(detached.wait())
        try:
            await asyncio.wait((showing, leaving), return_when=asyncio.FIRST_COMPLETED)
            if showing.done():
                showing.result()
        finally:
            for job in (sending, showing, leaving):
                job.cancel()
            await asyncio.gather(sending, showing, leaving, return_exceptions=True)


async def _show(output: AsyncIterator[ProcessIO]) -> None:
    async for message in output:
        if message.data is not None and message.data.data:
            is_stderr = message.data.type is ProcessIO.Data.Type.STDERR
            to = sys.stderr.buffer if is_stderr else sys.stdout.buffer
            to.write(message.data.data)
            to.flush()


async def _send(
    agent: ContainerClient, target: mesos.ContainerID, messages: asyncio.Queue[ProcessIO | None]
) -> None:
    async def typed() -> AsyncIterator[ProcessIO]:
        while (message := await messages.get()) is not None:
            yield message

    with contextlib.suppress(CallRefused, Disconnected):  # it ended: the output says so, too
        await agent.input(target, typed())


def _resized(messages: asyncio.Queue[ProcessIO | None]) -> None:
    size = os.get_terminal_size(0)
    with contextlib.suppress(asyncio.QueueFull):
        messages.put_nowait(window_message(size.lines, size.columns))


def _read_stdin(
    messages: asyncio.Queue[ProcessIO | None],
    detached: asyncio.Event,
    end: bytes,
    *,
    is_raw: bool,
    can_detach: bool,
) -> None:
    """Read in a thread, which ends with the process: what stdin is, nobody knows."""
    loop = asyncio.get_running_loop()

    def read() -> None:
        while True:
            try:
                data = os.read(0, READ_BYTES)
            except OSError:
                data = b""
            is_detach = can_detach and is_raw and DETACH in data
            if is_detach:
                with contextlib.suppress(RuntimeError):
                    loop.call_soon_threadsafe(detached.set)
                return
            # On a terminal the end is typed as any other character.
            try:
                put = asyncio.run_coroutine_threadsafe(
                    messages.put(stdin_message(data or end)), loop
                )
                put.result()
            except (RuntimeError, asyncio.CancelledError):
                return  # the loop has ended
            if not data:
                return

    threading.Thread(target=read, name="stdin", daemon=True).start()


@contextlib.contextmanager
def raw_terminal() -> Iterator[None]:
    """Nothing that is typed has a meaning here; as before, whatever happens."""
    before = termios.tcgetattr(0)
    tty.setraw(0, termios.TCSADRAIN)  # what was typed before is kept
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)


def _tty_info() -> mesos.TTYInfo:
    if not os.isatty(0):
        return mesos.TTYInfo()
    size = os.get_terminal_size(0)
    window = mesos.TTYInfo.WindowSize(rows=size.lines, columns=size.columns)
    return mesos.TTYInfo(window_size=window)
