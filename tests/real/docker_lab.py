"""A cluster whose agent runs tasks through a Docker Engine of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TypeAlias

from msgspec.structs import replace

from tepui.wire import mesos
from tests.real.cluster import Cluster
from tests.real.container_images import Images
from tests.real.container_lab import Lab, Scheduler
from tests.real.docker_engine import IMAGE, DockerEngine

RESOURCES = "cpus:4;mem:2048;disk:10240;ports:[10000-32000]"
CONTAINERS = "--containerizers=process,docker"
WAIT = "until [ -e $MESOS_SANDBOX/go ]; do sleep 0.02; done"
Docker: TypeAlias = mesos.ContainerInfo.DockerInfo
Network: TypeAlias = Docker.Network


class DockerLab(Lab):
    """A cluster whose agent uses an Engine of its own."""

    def __init__(self, cluster: Cluster, engine: DockerEngine) -> None:
        super().__init__(cluster, Images("", "", "", "", ""))
        self.engine = engine

    def docker(
        self,
        task_id: str,
        line: str | Sequence[str] = "",
        *,
        image: str = IMAGE,
        network: Network = Network.HOST,
        mem_mib: float = 64,
        ports: Sequence[int] = (),
        parameters: Sequence[tuple[str, str]] = (),
        pulls: bool = False,
        **parts: object,
    ) -> mesos.TaskInfo:
        """A task in a Docker container; each of `ports` is that port 80. `parts` are of ContainerInfo."""
        own = Docker(
            image=image,
            network=network,
            port_mappings=tuple(
                Docker.PortMapping(host_port=one, container_port=80) for one in ports
            ),
            parameters=tuple(mesos.Parameter(key=key, value=value) for key, value in parameters),
            force_pull_image=pulls,
        )
        container = mesos.ContainerInfo(type=mesos.ContainerInfo.Type.DOCKER, docker=own)
        container = replace(container, **parts)
        return self.task(task_id, line, container=container, mem_mib=mem_mib, ports=ports)

    def names(self) -> list[str]:
        """Of the Engine's containers."""
        with contextlib.closing(self.engine.client()) as client:
            return sorted(one["Names"][0][1:] for one in client.containers(all=True))

    def traces(self) -> set[str]:
        """What there is of tasks, at the Engine too."""
        found = super().traces() | {f"container {name}" for name in self.names()}
        return found | {f"state {path}" for path in (self.work / "docker").glob("*")}


def go(scheduler: Scheduler, task_id: str) -> None:
    """The task, which waits or soon will, goes on."""
    (scheduler.sandbox(task_id) / "go").touch()
