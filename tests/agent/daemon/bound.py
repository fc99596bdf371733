"""Containers of a daemon on any runtime, on a machine that can run processes only."""

from __future__ import annotations

from pathlib import Path

from tepui.agent.containers.images.images import Images
from tepui.agent.containers.images.settings import ImageSettings
from tepui.agent.containers.isolation.capabilities import Allowed
from tepui.agent.containers.networks import Networks, NetworkSettings
from tepui.agent.containers.runtime import Runtime
from tepui.agent.containers.runtimes import Runtimes
from tepui.agent.containers.specs.kinds import Kind
from tepui.agent.containers.specs.privileges import PrivilegeRules
from tepui.agent.containers.volumes.docker import DockerVolumes
from tepui.agent.containers.volumes.secrets import Secrets
from tepui.agent.daemon.container_options import ContainerOptions
from tepui.agent.daemon.containers import Containers
from tepui.agent.daemon.devices import Devices
from tepui.agent.daemon.disk_usage import DiskUsage
from tepui.agent.daemon.grounds import Grounds
from tepui.agent.daemon.provisioning import Provisioning
from tepui.agent.daemon.specs import Specs
from tepui.agent.daemon.usage import ContainerUsage

LACKS = {Kind.OCI: "neither crun nor runc is there", Kind.DOCKER: "no Docker Engine answers"}


def bind(
    containers: Containers,
    runtime: Runtime,
    directory: Path,
    *,
    images: Images | None = None,
    is_quota_enforced: bool = False,
) -> Runtimes:
    """The containers use this runtime; whatever there is besides would be below `directory`."""
    options = ContainerOptions()
    grounds, secrets = Grounds(str(directory / "grounds")), Secrets(str(directory), str(directory))
    devices = Devices(None, (), str(directory / "gpus"))
    specs = Specs(options, LACKS, grounds, secrets, PrivilegeRules(Allowed()), devices)
    runtimes = Runtimes(runtime)
    provisioning = Provisioning(
        options,
        LACKS,
        runtimes,
        images or Images(directory / "images", ImageSettings()),
        Networks(NetworkSettings(bridge_subnet="none"), str(directory / "networks")),
        grounds,
        secrets,
        DockerVolumes(str(directory)),
    )
    disk = DiskUsage(options.disk_interval_ms, str(directory / "containers"))
    usage = ContainerUsage(runtimes, disk, None, "")
    containers.bind(
        runtimes,
        specs,
        provisioning,
        usage,
        disk,
        devices,
        is_quota_enforced=is_quota_enforced,
    )
    return runtimes
