"""Quota: guarantees and limits of roles.

Source: Mesos include/mesos/v1/quota/quota.proto.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import field

from tepui.wire import mesos
from tepui.wire.message import ProtoMessage


class QuotaInfo(ProtoMessage, frozen=True, kw_only=True):
    role: Annotated[str | None, 1] = None
    principal: Annotated[str | None, 2] = None
    guarantee: Annotated[tuple[mesos.Resource, ...], 3] = ()


class QuotaRequest(ProtoMessage, frozen=True, kw_only=True):
    force: Annotated[bool | None, 1] = None
    role: Annotated[str | None, 2] = None
    guarantee: Annotated[tuple[mesos.Resource, ...], 3] = ()


class QuotaConfig(ProtoMessage, frozen=True, kw_only=True):
    role: Annotated[str, 1]
    guarantees: Annotated[dict[str, mesos.Value.Scalar], 2] = field(default_factory=dict)
    limits: Annotated[dict[str, mesos.Value.Scalar], 3] = field(default_factory=dict)


class QuotaStatus(ProtoMessage, frozen=True, kw_only=True):
    infos: Annotated[tuple[QuotaInfo, ...], 1] = ()
    configs: Annotated[tuple[QuotaConfig, ...], 2] = ()
