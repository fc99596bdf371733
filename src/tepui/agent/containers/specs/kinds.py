"""Which runtime runs a container: what it asks for, and what this machine and its operator offer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum

from tepui.agent.containers.specs.errors import Unsupported
from tepui.agent.containers.specs.wanted import Wanted, wanted_of
from tepui.wire import mesos


class Kind(StrEnum):
    """What runs containers."""

    PROCESS = "process"
    OCI = "oci"
    DOCKER = "docker"


def kinds_of(flag: str) -> tuple[Kind, ...]:
    """`--containerizers`, in the order of preference. Raises ValueError.

    What Mesos calls `mesos` runs both processes and containers of its own.
    """
    found: list[Kind] = []
    for name in flag.split(","):
        kinds: tuple[Kind, ...]
        match name.strip():
            case "mesos":
                kinds = (Kind.PROCESS, Kind.OCI)
            case "process" | "oci" | "docker" as one:
                kinds = (Kind(one),)
            case other:
                raise ValueError(f"'{other}' is none of process, oci, docker and mesos")
        found += [kind for kind in kinds if kind not in found]
    return tuple(found)


def kind_of(
    container: mesos.ContainerInfo | None, order: Sequence[Kind], lacks: Mapping[Kind, str]
) -> Kind:
    """The first runtime in that order that can do it. Raises Unsupported, which says what is missing.

    `lacks` has a sentence for each runtime that this machine cannot use.
    """
    is_docker = container is not None and container.type is mesos.ContainerInfo.Type.DOCKER
    wanted = Wanted() if is_docker else wanted_of(container)
    if not is_docker and wanted.is_plain:
        return Kind.PROCESS
    reasons: list[str] = []
    for kind in order:
        if kind is Kind.PROCESS or (kind is Kind.DOCKER and not is_docker):
            continue
        reason = lacks.get(kind) or _refusal(container, kind)
        if not reason:
            return kind
        reasons.append(reason)
    what = "Docker containers" if is_docker else _first_need(wanted)
    why = "; ".join(reasons) or "its --containerizers name nothing that could"
    raise Unsupported(f"this agent does not run {what}: {why}")


def _refusal(container: mesos.ContainerInfo | None, kind: Kind) -> str:
    """Why this container cannot be of that kind, though the machine has it; '' when it can."""
    if kind is Kind.OCI:
        try:
            wanted_of(container)
        except Unsupported as refused:
            return str(refused)
    return ""


def _first_need(wanted: Wanted) -> str:
    if wanted.image is not None:
        return "container images"
    if wanted.volumes:
        return f"containers with volumes, as '{wanted.volumes[0].container_path}'"
    if wanted.networks:
        return f"containers on a network of their own, as '{wanted.networks[0].name}'"
    return "containers with namespaces of their own"
