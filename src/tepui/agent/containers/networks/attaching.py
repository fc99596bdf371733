"""Attaches containers to networks and undoes that, step by step, with what is needed for it on disk first.

Blocking: called in threads. A container's directory is locked meanwhile, so callers need not care who else is
at work for it.
"""

from __future__ import annotations

import functools
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence

import msgspec

from tepui.agent.containers.networks import chain, plugin, wiring
from tepui.agent.containers.networks.definitions import Json, Network
from tepui.agent.containers.networks.journal import Held, Joined, Journal, Record
from tepui.agent.containers.networks.rules import PortRule, Rules
from tepui.agent.containers.networks.spec import Attached, NetworkAsked, NetworkSettings
from tepui.base.errors import HostError

Planned = Sequence[tuple[Network, NetworkAsked]]

log = logging.getLogger("tepui.agent")


class Attaching:
    """The containers of one agent on their networks. All methods raise HostError but those that log it."""

    def __init__(
        self, settings: NetworkSettings, directories: tuple[str, ...], journal: Journal
    ) -> None:
        self._settings = settings
        self._directories = directories  # of plugins
        self._journal = journal
        self._bridge: wiring.Bridge | None = None
        self._rules: Rules | None = None
        self._attached: dict[str, tuple[Attached, ...]] = {}

    def use_bridge(self, bridge: wiring.Bridge, rules: Rules) -> None:
        """The network of our own is this bridge."""
        self._bridge = bridge
        self._rules = rules

    def attached(self, container_id: str) -> tuple[Attached, ...]:
        """The networks that a container is on."""
        return self._attached.get(container_id, ())

    def resume(self, container_id: str, is_living: bool) -> bool:
        """A living container is known again, of another one nothing is left; faults are logged.

        Returned is whether it is, or was, on our bridge.
        """
        try:
            with self._journal.hold(container_id, self._lock_timeout_s()) as held:
                record = self._read(held)
                if record is not None and is_living:
                    self._take_up(record)
                else:
                    self._undo(record, held)
                    log.info("network_left_over_undone container=%s", container_id)
        except KeyError:
            return False
        except HostError as error:
            log.warning("network_detach_failed container=%s reason=%s", container_id, error)
            return True
        return record is not None and any(one.is_bridge for one in record.networks)

    def _take_up(self, record: Record) -> None:
        complete = [one for one in record.networks if one.is_complete]
        attached = tuple(_attached_of(one) for one in complete)
        self._attached[record.container_id] = attached
        if self._rules is not None:
            for one, there in zip(complete, attached, strict=True):
                if one.is_bridge:
                    self._rules.expect({record.container_id: _port_rules(record, there)})

    def attach(self, container_id: str, namespace: str, planned: Planned) -> tuple[Attached, ...]:
        """The container is on all these networks, or nothing is left of it."""
        began_s = time.monotonic()
        record = _planned(container_id, namespace, planned)
        with self._journal.hold(container_id, self._lock_timeout_s(), make=True) as held:
            if held.read() is not None:
                raise HostError("attach", f"container '{container_id}'", "it is attached already")
            try:
                # What our bridge needs undone does not outlive the machine; what plugins keep may.
                durable = not all(one.is_bridge for one in record.networks)
                held.write(record, durable=durable)
                for at in range(len(record.networks)):
                    record = self._join(record, at, held)
            except BaseException:
                # On disk are also answers of the step that failed.
                self._undo_or_log(self._read(held) or record, held)
                raise
            attached = tuple(_attached_of(one) for one in record.networks)
            self._attached[container_id] = attached
        took_ms = round((time.monotonic() - began_s) * 1000)
        for one in attached:
            log.info(
                "network_attached container=%s network=%s addresses=%s took_ms=%s",
                *(container_id, one.name, ",".join(one.addresses), took_ms),
            )
        return attached

    def _join(self, record: Record, at: int, held: Held) -> Record:
        """The container is on that one of its networks; what is known of it is on disk at each step."""
        if record.networks[at].is_bridge:
            record = self._join_bridge(record, at, held)
        else:
            record = self._join_by_plugins(record, at, held)
        record = _changed(record, at, is_complete=True)
        held.write(record, durable=False)
        return record

    def _join_by_plugins(self, record: Record, at: int, held: Held) -> Record:
        call = self._call(record, held, record.namespace)
        for config in record.networks[at].configurations:
            joined = record.networks[at]
            given = chain.with_result(config, joined.result)
            text = plugin.run(call, "ADD", joined.name, joined.interface, given)
            result = chain.answer(joined.name, str(config["type"]), text)
            record = _changed(record, at, result=result)
            held.write(record, durable=False)
        _attached_of(record.networks[at])  # raises when the last result has no proper addresses
        return record

    def _join_bridge(self, record: Record, at: int, held: Held) -> Record:
        joined = record.networks[at]
        assert self._bridge is not None, "a container is attached to networks that are known"
        assert self._rules is not None, "a bridge has rules"
        wished = next(iter(joined.asked.ip_addresses), None)
        result = wiring.plug_in(
            self._bridge, record.container_id, joined.interface, record.namespace, wished
        )
        record = _changed(record, at, result=result)
        attached = _attached_of(record.networks[at])
        self._rules.add(record.container_id, _port_rules(record, attached))
        return record

    def detach(self, container_id: str) -> None:
        """The container is on no network; what could not be undone stays on disk."""
        try:
            with self._journal.hold(container_id, self._lock_timeout_s()) as held:
                self._undo(self._read(held), held)
        except KeyError:
            pass  # nothing was ever attached, or all is undone

    def _undo(self, record: Record | None, held: Held) -> None:
        """All that was or may have been done for the container is undone, and forgotten."""
        if record is not None:
            self._attached.pop(record.container_id, None)
            faults = list(self._undone(record, held))
            if faults:
                raise HostError("detach", f"container '{record.container_id}'", "; ".join(faults))
        held.remove()

    def _undone(self, record: Record, held: Held) -> Iterator[str]:
        """Undo all that can be; yields what went wrong."""
        call = self._call(record, held, _namespace_now(record))
        for joined in reversed(record.networks):
            for step in self._steps_back(record.container_id, joined, call):
                try:
                    step()
                except HostError as error:
                    yield str(error)

    def _steps_back(
        self, container_id: str, joined: Joined, call: plugin.Call
    ) -> Iterator[Callable[[], object]]:
        if joined.is_bridge:
            if self._rules is not None:
                yield functools.partial(self._rules.remove, container_id)
            directory = self._settings.addresses_directory
            yield functools.partial(wiring.unplug, directory, container_id, joined.interface)
        told = joined.result if joined.version in chain.TOLD_AT_DEL else None
        for config in reversed(joined.configurations):
            given = chain.with_result(config, told)
            yield functools.partial(plugin.run, call, "DEL", joined.name, joined.interface, given)

    def _undo_or_log(self, record: Record, held: Held) -> None:
        try:
            self._undo(record, held)
        except HostError as error:
            log.warning("network_detach_failed container=%s reason=%s", record.container_id, error)

    def detach_or_log(self, container_id: str) -> None:
        """As `detach`, for whom nobody waits."""
        try:
            self.detach(container_id)
        except HostError as error:
            log.warning("network_detach_failed container=%s reason=%s", container_id, error)

    def _read(self, held: Held) -> Record | None:
        try:
            return held.read()
        except HostError as error:
            # What it said cannot be undone any more; an address or a rule may be left.
            log.warning("network_record_lost reason=%s", error)
            return None

    def _call(self, record: Record, held: Held, namespace: str) -> plugin.Call:
        timeout_s = self._settings.plugin_timeout_s
        return plugin.Call(record.container_id, namespace, self._directories, timeout_s, held.fd)

    def _lock_timeout_s(self) -> float:
        return self._settings.plugin_timeout_s + 5.0


def _planned(container_id: str, namespace: str, planned: Planned) -> Record:
    try:
        stat = os.stat(namespace)
    except OSError as error:
        raise HostError("attach", f"container '{container_id}'", str(error)) from None
    return Record(
        container_id=container_id,
        namespace=namespace,
        namespace_id=(stat.st_dev, stat.st_ino),
        networks=tuple(
            Joined(
                name=network.name,
                version=network.version,
                interface=f"eth{at}",
                configurations=chain.configurations(network, asked),
                asked=asked,
                is_bridge=network.is_bridge,
            )
            for at, (network, asked) in enumerate(planned)
        ),
    )


def _namespace_now(record: Record) -> str:
    """Its path, or '' when that is gone or means another namespace by now."""
    try:
        stat = os.stat(record.namespace)
    except OSError:
        return ""
    return record.namespace if (stat.st_dev, stat.st_ino) == record.namespace_id else ""


def _changed(
    record: Record, at: int, *, result: Json | None = None, is_complete: bool = False
) -> Record:
    joined = record.networks[at]
    changed = msgspec.structs.replace(
        joined,
        result=joined.result if result is None else result,
        is_complete=is_complete,
    )
    networks = (*record.networks[:at], changed, *record.networks[at + 1 :])
    return msgspec.structs.replace(record, networks=networks)


def _attached_of(joined: Joined) -> Attached:
    return chain.attached(joined.name, joined.interface, joined.asked, joined.result or {})


def _port_rules(record: Record, attached: Attached) -> tuple[PortRule, ...]:
    """Port mappings are of IPv4, as the bridge is."""
    address = next((one for one in attached.addresses if ":" not in one), None)
    if address is None:
        return ()
    return tuple(
        PortRule(record.container_id, protocol, host, address, inner)
        for host, inner, protocol in attached.asked.port_mappings
    )
