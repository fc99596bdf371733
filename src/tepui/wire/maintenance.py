"""Maintenance: schedules and the state of machines.

Source: Mesos include/mesos/v1/maintenance/maintenance.proto.
"""

from __future__ import annotations

from typing import Annotated

from tepui.wire import allocator, mesos
from tepui.wire.message import ProtoMessage


class Window(ProtoMessage, frozen=True, kw_only=True):
    machine_ids: Annotated[tuple[mesos.MachineID, ...], 1] = ()
    unavailability: Annotated[mesos.Unavailability, 2]


class Schedule(ProtoMessage, frozen=True, kw_only=True):
    windows: Annotated[tuple[Window, ...], 1] = ()


class ClusterStatus(ProtoMessage, frozen=True, kw_only=True):
    class DrainingMachine(ProtoMessage, frozen=True, kw_only=True):
        id: Annotated[mesos.MachineID, 1]
        statuses: Annotated[tuple[allocator.InverseOfferStatus, ...], 2] = ()

    draining_machines: Annotated[tuple[ClusterStatus.DrainingMachine, ...], 1] = ()
    down_machines: Annotated[tuple[mesos.MachineID, ...], 2] = ()
