"""The registry on disk: the core's records as objects of a store."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import msgspec

from tepui.base.errors import HostError
from tepui.master.core.actions import (
    AgentAdmitted,
    AgentGone,
    AgentRemoved,
    AgentUnreachable,
    EpochBegan,
    Record,
    WeightSet,
)
from tepui.master.core.registry import Registered, entry, is_known
from tepui.storage.store import Store, StoreFailed, Write, save_all

log = logging.getLogger("tepui.master")


class Registry:
    """What outlives the master, from `open` to `close`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(Registered).decode

    async def open(self) -> list[Registered]:
        """All that is registered. Raises HostError when it can't be read, whole.

        What a newer version keeps is left where it is.
        """
        try:
            found = await self._store.open()
        except StoreFailed as failed:
            raise HostError("read", "the registry", str(failed)) from None
        registered: list[Registered] = []
        for key, value in found.items():
            if not is_known(key):
                log.warning("registry_object_unknown key=%s", key)
                continue
            try:
                registered.append(self._decode(value))
            except msgspec.DecodeError as error:
                raise HostError("read", "the registry", f"'{key}': {error}") from None
        log.info("registry_read objects=%d", len(registered))
        return registered

    async def save(self, records: Sequence[Record]) -> None:
        """They are durable when this returns."""
        writes = []
        for record in records:
            key, registered = entry(record)
            value = None if registered is None else self._encode(registered)
            writes.append(Write(key, value))
        await save_all(self._store, writes)
        for record in records:
            _log(record)

    async def close(self) -> None:
        """Leave it to the next master."""
        await self._store.close()


def _log(record: Record) -> None:
    match record:
        case AgentAdmitted(info=info):
            log.info(
                "agent_admitted agent=%s hostname=%s", info.id and info.id.value, info.hostname
            )
        case AgentUnreachable(info=info):
            log.warning("agent_unreachable agent=%s", info.id and info.id.value)
        case AgentRemoved(agent_id=agent_id):
            log.info("agent_removed agent=%s", agent_id)
        case AgentGone(info=info):
            log.info("agent_gone agent=%s", info.id and info.id.value)
        case WeightSet(role=role, weight=weight):
            log.info("weight_set role=%s weight=%s", role, weight)
        case EpochBegan():
            pass  # `leading` says it
