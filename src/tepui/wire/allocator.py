"""What the allocator reports of inverse offers.

Source: Mesos include/mesos/v1/allocator/allocator.proto.
"""

from __future__ import annotations

from typing import Annotated

from tepui.wire import mesos
from tepui.wire.message import ProtoEnum, ProtoMessage


class InverseOfferStatus(ProtoMessage, frozen=True, kw_only=True):
    class Status(ProtoEnum):
        UNKNOWN = "UNKNOWN", 1
        ACCEPT = "ACCEPT", 2
        DECLINE = "DECLINE", 3

    status: Annotated[InverseOfferStatus.Status, 1]
    framework_id: Annotated[mesos.FrameworkID, 2]
    timestamp: Annotated[mesos.TimeInfo, 3]
