"""Terminals of containers and sessions that an OCI runtime starts, and streams that are handed over."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from tepui.agent.containers.spec import ContainerSpec, Stdio, Window
from tests.agent.containers.host import line_from
from tests.agent.containers.oci_host import OciHost, needs_oci, oci_host

pytestmark = [pytest.mark.real, needs_oci]
SCRIPT = "tty; stty size; read line; echo got $line; exit 5"


async def shown(fd: int, end: str) -> str:
    text = ""
    while end not in text:
        text += await line_from(fd)
    return text


@pytest.mark.parametrize("kind", ["container", "session"])
def test_program_has_a_terminal_of_the_size_asked_for(tmp_path: Path, kind: str) -> None:
    async def run() -> None:
        async with oci_host(tmp_path) as one:
            name, spec = await asked(one, kind)
            await one.oci.launch(replace(spec, tty=Window(rows=30, columns=90), stdout=None))
            terminal = await one.oci.terminal(name)
            text = await shown(terminal, "30 90")
            assert "/dev/pts/0" in text or "/dev/console" in text
            os.write(terminal, b"typed\n")
            assert "got typed" in await shown(terminal, "got typed")
            os.close(terminal)
            assert (await one.exits.of(name)).wait_status == 5 << 8

    asyncio.run(run())


@pytest.mark.parametrize("kind", ["container", "session"])
def test_what_a_terminal_shows_is_kept_in_a_file(tmp_path: Path, kind: str) -> None:
    async def run() -> None:
        async with oci_host(tmp_path) as one:
            name, spec = await asked(one, kind)
            await one.oci.launch(replace(spec, tty=Window()))
            terminal = await one.oci.terminal(name)
            os.write(terminal, b"typed\n")
            os.close(terminal)
            assert (await one.exits.of(name)).wait_status == 5 << 8
            assert "got typed" in one.output(name)

    asyncio.run(run())


@pytest.mark.parametrize("kind", ["container", "session"])
def test_program_has_the_streams_that_were_handed_over(tmp_path: Path, kind: str) -> None:
    async def run() -> None:
        async with oci_host(tmp_path) as one:
            name, spec = await asked(one, kind)
            theirs_in, ours_in = os.pipe()
            ours_out, theirs_out = os.pipe()
            spec = replace(spec, argv=("/bin/sh", "-c", "read line; echo got $line; exit 5"))
            await one.oci.launch(spec, Stdio(theirs_in, theirs_out, theirs_out))
            for fd in (theirs_in, theirs_out):
                os.close(fd)
            os.write(ours_in, b"sent\n")
            assert await line_from(ours_out) == "got sent\n"
            assert (await one.exits.of(name)).wait_status == 5 << 8
            for fd in (ours_in, ours_out):
                os.close(fd)

    asyncio.run(run())


async def asked(one: OciHost, kind: str) -> tuple[str, ContainerSpec]:
    if kind == "container":
        return "a", one.contained("a", "/bin/sh", "-c", SCRIPT)
    await one.oci.launch(one.contained("a", "sleep", "1000"))
    return "a.s", one.session("a.s", "a", "/bin/sh", "-c", SCRIPT)
