"""Operators of a soak run: they look at the cluster all the time, and their looks are timed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from bench.soak_ledger import Ledger
from bench.soak_service import Service
from tepui.sdk import CallRefused, Disconnected, OperatorClient, SdkError, Unreachable
from tepui.sdk.operator import Json
from tepui.wire.media import Media

PAUSE_S: Final = 1.0
GONE: Final = 404  # a sandbox may be removed while it is looked at


class Operators:
    """All of them, from `run` until it is cancelled."""

    def __init__(
        self, master: str, agents: tuple[str, ...], service: Service, ledger: Ledger
    ) -> None:
        self._master = master
        self._agents = agents
        self._service = service
        self._ledger = ledger
        self.events = 0  # of the master's stream
        self.bytes_read = 0  # of files

    async def run(self) -> None:
        """Look until cancelled."""
        async with (
            OperatorClient(self._master) as json,
            OperatorClient(self._master, media=Media.PROTOBUF) as protobuf,
            asyncio.TaskGroup() as group,
        ):
            looks: list[Callable[[], Awaitable[object]]] = [
                lambda: json.get_json("/state"),
                lambda: json.get_json("/metrics/snapshot"),
                json.get_state,
                protobuf.get_state,
                protobuf.get_agents,
            ]
            looks += [lambda at=at: self._read_sandbox(at) for at in self._agents]  # type: ignore[misc] # bound now
            for look in looks:
                group.create_task(self._repeat(look))
            group.create_task(self._follow(json))
            group.create_task(self._follow(protobuf))

    async def _repeat(self, look: Callable[[], Awaitable[object]]) -> None:
        while True:
            try:
                with self._service.timed(self._service.reads_s):
                    await look()
            except CallRefused as error:
                self._refused(error)
            except SdkError as error:
                self._service.errors[f"operator: {error}"[:60]] += 1
            await asyncio.sleep(PAUSE_S)

    async def _follow(self, client: OperatorClient) -> None:
        """Read the master's events; a stream that ends is opened again."""
        while True:
            try:
                async for _ in client.events():
                    self.events += 1
            except (Disconnected, Unreachable) as error:
                self._service.errors[f"events: {error}"[:60]] += 1
            except CallRefused as error:
                self._refused(error)
            await asyncio.sleep(PAUSE_S)

    async def _read_sandbox(self, address: str) -> None:
        async with OperatorClient(address) as agent:
            directories = _directories(await agent.get_json("/state"))
            if directories:
                try:
                    await agent.list_files(directories[-1])
                    read = await agent.read_file(f"{directories[-1]}/stdout")
                    self.bytes_read += len(read.data)
                except CallRefused as error:
                    if error.status != GONE:
                        raise

    def _refused(self, error: CallRefused) -> None:
        self._service.errors[f"operator: {error}"[:60]] += 1
        if error.status != 503:
            self._ledger.fault(f"an operator was refused: {error}")


def _directories(found: Json) -> list[str]:
    """All sandboxes that an agent's state names."""
    if isinstance(found, list):
        return [one for each in found for one in _directories(each)]
    if not isinstance(found, dict):
        return []
    below = [one for value in found.values() for one in _directories(value)]
    directory = found.get("directory")
    return [directory, *below] if isinstance(directory, str) else below
