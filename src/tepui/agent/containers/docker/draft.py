"""A request as some flags of `docker run` have made it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from msgspec import Struct, field

from tepui.agent.containers.docker.body import CreateBody, EndpointConfig, Health, IpamConfig


class Draft(Struct):
    """The request as the flags so far have made it."""

    body: CreateBody
    endpoint: EndpointConfig = field(default_factory=EndpointConfig)
    ipam: IpamConfig = field(default_factory=IpamConfig)
    health: Health = field(default_factory=Health)
    log_options: dict[str, str] = {}
    log_driver: str | None = None
    platform: str | None = None
    pull: str = "missing"  # 'always', 'missing', 'never'


Flag: TypeAlias = Callable[[Draft, str], None]
