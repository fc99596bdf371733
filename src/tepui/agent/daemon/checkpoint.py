"""The agent's checkpoint on disk: the core's records as objects of a store."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import msgspec

from tepui.agent.core.actions import Record
from tepui.agent.core.saved import AGENT, FORMAT, Save, Saved, SavedAgent
from tepui.base.errors import HostError
from tepui.storage.store import Store, StoreFailed, Write, save_all

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")  # random(4): another one after each start

log = logging.getLogger("tepui.agent")


class Checkpoint:
    """What outlives the agent, from `open` to `close`."""

    def __init__(self, store: Store, path: Path, *, strict: bool) -> None:
        """`path` is what people are told; without `strict` what can't be read is left out."""
        self._store = store
        self._path = path
        self._strict = strict
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(Saved).decode

    async def open(self) -> dict[str, Saved]:
        """All that was saved. Raises HostError when it can't be read."""
        try:
            found = await self._store.open()
        except StoreFailed as failed:
            raise self._unreadable(str(failed)) from None
        objects: dict[str, Saved] = {}
        bad: list[str] = []
        for key, value in found.items():
            try:
                objects[key] = self._decode(value)
            except msgspec.DecodeError as error:
                if self._strict:
                    raise self._unreadable(f"{key}: {error}") from None
                log.warning("checkpoint_unreadable key=%s reason=%s", key, error)
                bad.append(key)
        agent = objects.get(AGENT)
        if isinstance(agent, SavedAgent) and agent.format != FORMAT:
            raise self._unreadable(f"it has format {agent.format}, this agent reads {FORMAT}")
        if bad:
            await self.save([Save(key, None) for key in bad])
        return objects

    async def save(self, records: Sequence[Record]) -> None:
        """They are durable when this returns; those before any of them were durable before it."""
        writes = []
        for record in records:
            assert isinstance(record, Save)
            value = None if record.saved is None else self._encode(record.saved)
            writes.append(Write(record.key, value))
        await save_all(self._store, writes)

    async def close(self) -> None:
        """Leave it to the next agent."""
        await self._store.close()

    def _unreadable(self, cause: str) -> HostError:
        advice = "(move it away to start as a new agent, which ends the tasks of the one before)"
        return HostError("read the checkpoint", f"'{self._path}'", f"{cause} {advice}")


def boot_id() -> str:
    """Which run of the machine this is; empty where nobody can tell."""
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return ""
