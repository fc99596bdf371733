"""What the flags of `docker run` mean, for those who give them as parameters of a DockerInfo.

Flags that would take the container out of the agent's hands are refused with the reason, unknown ones by their
name.
"""

from __future__ import annotations

from typing import Final, NoReturn

from tepui.agent.containers.docker.body import (
    EndpointConfig,
    Health,
    IpamConfig,
    LogConfig,
    NetworkingConfig,
)
from tepui.agent.containers.docker.draft import Draft
from tepui.agent.containers.docker.flags import FLAGS, REFUSED
from tepui.agent.containers.docker.values import BadValue
from tepui.base.errors import HostError

PARAMETERS_MAX: Final = 1000


def apply(draft: Draft, parameters: tuple[tuple[str, str], ...]) -> None:
    """The draft is as the flags say, the later ones over the earlier. Raises HostError."""
    if len(parameters) > PARAMETERS_MAX:
        _refuse(f"{len(parameters)} of them", f"there may be {PARAMETERS_MAX}")
    for name, value in parameters:
        if reason := REFUSED.get(name):
            _refuse(f"'{name}'", reason)
        flag = FLAGS.get(name)
        if flag is None:
            _refuse(f"'{name}'", "`docker run` has no such flag that is known here")
        try:
            flag(draft, value)
        except BadValue as error:
            _refuse(f"'{name}'", f"its value '{value}' {error}")
    _settle(draft)


def _settle(draft: Draft) -> None:
    """What several flags say together is in the body."""
    body = draft.body
    if draft.ipam != IpamConfig():
        draft.endpoint.ipam = draft.ipam
    if draft.endpoint != EndpointConfig():
        network = body.host_config.network_mode
        body.networking_config = NetworkingConfig({network: draft.endpoint})
    if draft.health != Health():
        body.healthcheck = draft.health
    if draft.log_driver is not None:
        body.host_config.log_config = LogConfig(draft.log_driver, draft.log_options)
    elif draft.log_options and body.host_config.log_config is not None:
        body.host_config.log_config.config.update(draft.log_options)


def _refuse(subject: str, cause: str) -> NoReturn:
    raise HostError("use the Docker parameter", subject, cause)
