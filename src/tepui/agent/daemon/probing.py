"""Runs the probes of checks: commands, HTTP requests, connections."""

from __future__ import annotations

import asyncio
import ssl
from typing import Final
from urllib.parse import urlsplit

from tepui.agent.containers import networks
from tepui.agent.containers.specs.errors import Unsupported
from tepui.agent.core.actions import CommandProbe, HttpProbe, Probe, RunCheck, TcpProbe
from tepui.agent.core.events import (
    CheckFailed,
    CheckFinished,
    CommandExited,
    HttpAnswered,
    Outcome,
    TcpTried,
)
from tepui.agent.daemon.containers import Containers
from tepui.agent.daemon.put import Put
from tepui.base import tasks
from tepui.base.errors import HostError, Refused

NO_TIMEOUT_MS: Final = 86_400_000  # a timeout of 0 waits as long as a check can (Mesos: no limit)
STATUS_LINE_BYTES_MAX: Final = 8 * 1024


def _trusting() -> ssl.SSLContext:
    """A task's own certificate is of no interest to its check, as in Mesos."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


_ANY_SERVER: Final = _trusting()


class Probing:
    """The probes that are under way."""

    def __init__(self, put: Put, containers: Containers) -> None:
        self._put = put
        self._containers = containers
        self._running: dict[int, asyncio.Task[None]] = {}

    def run(self, action: RunCheck) -> None:
        """CheckFinished follows, unless the check is abandoned."""
        self._running[action.check_id] = tasks.start(self._run(action))

    def abandon(self, check_id: int) -> None:
        """End the probe; nothing follows."""
        running = self._running.pop(check_id, None)
        if running is not None:
            running.cancel()

    async def close(self) -> None:
        """End all probes."""
        running = list(self._running.values())
        for one in running:
            one.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _run(self, action: RunCheck) -> None:
        outcome: Outcome
        try:
            async with asyncio.timeout((action.timeout_ms or NO_TIMEOUT_MS) / 1000):
                outcome = await self._probe(action.probe)
        except TimeoutError:
            outcome = CheckFailed(f"timed out after {action.timeout_ms} ms")
        except (
            HostError,
            Refused,
            Unsupported,
            OSError,
            ValueError,
            OverflowError,
        ) as error:  # of a port
            outcome = CheckFailed(str(error))
        if self._running.pop(action.check_id, None) is not None:
            self._put(CheckFinished(action.check_id, outcome))

    async def _probe(self, probe: Probe) -> Outcome:
        match probe:
            case CommandProbe():
                return CommandExited(await self._containers.run(self._containers.probe_spec(probe)))
            case HttpProbe(url=url, beside=beside):
                return HttpAnswered(await _get_status(url, self._network(beside)))
            case TcpProbe(ip=ip, port=port, beside=beside):
                return TcpTried(await _connects(ip, port, self._network(beside)))

    def _network(self, beside: str | None) -> int | str | None:
        return None if beside is None else self._containers.network_of(beside)


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _opened(
    ip: str | None, port: int, network: int | str | None, context: ssl.SSLContext | None = None
) -> Streams:
    """A connection, from the network namespace of a container where one is given. Raises OSError."""
    if network is None:
        return await asyncio.open_connection(ip, port, ssl=context, limit=STATUS_LINE_BYTES_MAX)
    try:
        inside = await networks.connect(network, port)
    except HostError as error:
        raise OSError(str(error)) from None
    name = None if context is None else ip or ""
    return await asyncio.open_connection(
        sock=inside, ssl=context, server_hostname=name, limit=STATUS_LINE_BYTES_MAX
    )


async def _connects(ip: str, port: int, network: int | str | None) -> bool:
    try:
        _, writer = await _opened(ip, port, network)
    except OSError:
        return False
    writer.close()
    return True


async def _get_status(url: str, network: int | str | None) -> int:
    """The status of the answer to a GET. Raises OSError and ValueError."""
    parts = urlsplit(url)
    is_https = parts.scheme == "https"
    port = parts.port or (443 if is_https else 80)
    context = _ANY_SERVER if is_https else None
    reader, writer = await _opened(parts.hostname, port, network, context)
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        writer.write(
            f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nUser-Agent: tepui\r\n"
            "Accept: */*\r\nConnection: close\r\n\r\n".encode()
        )
        line = (await reader.readline()).decode("latin-1").split(" ")
    finally:
        writer.close()
    if len(line) < 2 or not line[0].startswith("HTTP/"):
        raise ValueError(f"{url} did not answer in HTTP")
    return int(line[1])
