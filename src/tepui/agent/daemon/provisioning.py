"""What a container needs before it can run: its image, its volumes, and networks with an address on each.

All of it is on the container's ground (`grounds.py`), which is on disk once the container is launched. Of one
that is not, an agent that was killed has left what others know how to undo: networks by their journal, holds
of images and secrets by the container's name, a group by the launcher's list. A network namespace that CNI plug-ins fill is held
by a group of its own, `<container>..net`, so that it is there before the container is.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Collection, Mapping
from typing import Final

from msgspec.structs import replace

from tepui.agent.containers.images.errors import ImageError
from tepui.agent.containers.images.image import Image, PullRequest
from tepui.agent.containers.images.images import Images
from tepui.agent.containers.isolation.user_ranges import UserRanges
from tepui.agent.containers.networks import (
    Networks,
    asked_of,
    network_info_of,
)
from tepui.agent.containers.runtime import Runtime
from tepui.agent.containers.spec import ContainerSpec, Isolation, Mount, Users
from tepui.agent.containers.specs.errors import Unsupported
from tepui.agent.containers.specs.kinds import Kind, kind_of
from tepui.agent.containers.specs.oci import (
    NETWORK,
    NEW,
    USER,
    Ground,
    directory_of,
    namespaces_of,
)
from tepui.agent.containers.specs.wanted import Wanted, wanted_of
from tepui.agent.containers.volumes.docker import DockerVolume, DockerVolumes
from tepui.agent.containers.volumes.mounts import Place, volume_mount
from tepui.agent.containers.volumes.secrets import Secrets
from tepui.agent.core.actions import ProvisionContainer
from tepui.agent.daemon.container_options import ContainerOptions
from tepui.agent.daemon.grounds import Grounds
from tepui.base.errors import HostError, Refused
from tepui.wire import mesos

NET: Final = "..net"  # no container of the API has a dot in its name, nor an empty one
FAULTS: Final = (HostError, OSError, ValueError, Refused, Unsupported, ImageError)

NO_NETWORKS: Final = (
    "networks need root, and this agent has none: a container has the host's network, or none"
)

log = logging.getLogger("tepui.agent")


class Provisioning:
    """Makes grounds ready, and clears them. `lacks` says of each runtime why this machine has it not."""

    def __init__(
        self,
        options: ContainerOptions,
        lacks: Mapping[Kind, str],
        runtime: Runtime,
        images: Images,
        networks: Networks,
        grounds: Grounds,
        secrets: Secrets,
        docker_volumes: DockerVolumes,
        users: UserRanges | None = None,
    ) -> None:
        self._options = options
        self._lacks = lacks
        self._runtime = runtime
        self._images = images
        self._networks = networks
        self._grounds = grounds
        self._secrets = secrets
        self._docker_volumes = docker_volumes
        self._users = users  # None: containers have those of the host

    async def start(self, living: Collection[str]) -> None:
        """Clear what containers that are no more have left; `living` are those that the runtimes have."""
        self._grounds.load()
        if self._users is not None:
            for container_id in self._grounds.ids():
                users = self._grounds[container_id].users
                if users is not None:
                    self._users.adopt(container_id, users)
        await self._images.start()
        await self._networks.start(living)
        await self._docker_volumes.start(living)
        for container_id in self._grounds.ids():
            if container_id not in living:
                await self.release(container_id)
        for container_id in self._images.held():
            if container_id not in living:
                self._images.release(container_id)
        for container_id in living:
            if container_id.endswith(NET) and container_id.removesuffix(NET) not in living:
                await self._end_group(container_id)
        self._secrets.sweep(living)

    async def close(self, *, leaves_containers: bool) -> None:
        """Networks are left to the next agent, or nothing of them is there for anybody."""
        await self._networks.close(leaves_containers=leaves_containers)

    def addresses(self, container_id: str) -> tuple[mesos.NetworkInfo, ...]:
        """The networks that the container has joined, and its addresses there."""
        ground = self._grounds.get(container_id)
        return () if ground is None else tuple(network_info_of(one) for one in ground.attached)

    def network_of(self, container_id: str, pid: int | None) -> int | str | None:
        """The network namespace of a container, by a path or its process `pid`; None: the host's."""
        ground = self._grounds.get(container_id)
        if ground is None or NETWORK not in ground.namespaces:
            return None
        return ground.namespaces[NETWORK] or pid

    async def provision(self, asked: ProvisionContainer, say: Callable[[str], None]) -> None:
        """The container's ground is ready, if it needs one. Raises one of FAULTS, and nothing is left."""
        if kind_of(asked.container, self._options.kinds, self._lacks) is not Kind.OCI:
            return
        try:
            await self._provision(asked, wanted_of(asked.container), say)
        except BaseException:
            await asyncio.shield(self.release(asked.container_id))
            raise

    async def release(self, container_id: str) -> None:
        """The container is no more: nothing of its ground is left. Called as often as one likes."""
        ground = self._grounds.get(container_id)
        if ground is None:
            return
        if ground.has_group:
            await self._networks.detach(container_id)
            await self._end_group(container_id + NET)
        await self._docker_volumes.release(container_id)
        await asyncio.to_thread(self._secrets.drop, container_id)
        self._images.release(container_id)
        if self._users is not None:
            self._users.release(container_id)
        self._grounds.drop(container_id)

    async def _provision(
        self, asked: ProvisionContainer, wanted: Wanted, say: Callable[[str], None]
    ) -> None:
        name = asked.container_id
        if wanted.networks and os.geteuid() != 0:
            raise Unsupported(NO_NETWORKS)
        has_image = wanted.image is not None
        inside = self._options.sandbox_directory if has_image else asked.directory
        ground = Ground(container_id=name, sandbox_inside=inside)
        self._grounds.know(ground)  # first, so that whatever follows is undone when this fails
        images = await self._pull(name, wanted, say)
        image = None if wanted.image is None else images[_name_of(wanted.image)]
        ground = replace(
            ground,
            image=image,
            images=tuple(images.values()),
            directory=directory_of(wanted, image),
        )
        place = Place(
            sandbox=asked.directory,
            sandbox_inside=inside,
            parent_sandbox=_parent_sandbox(asked),
            has_image=has_image,
        )
        mounts: tuple[Mount, ...] = ()
        if wanted.volumes:
            mounted = await self._mount_docker_volumes(name, wanted, asked.directory)
            mounts = await asyncio.to_thread(self._volumes, name, wanted, place, images, mounted)
        parent = None if asked.parent is None else self._grounds.get(asked.parent)
        ground = self._with_users(ground, wanted, parent)
        shared = {} if parent is None else parent.shared
        spaces = namespaces_of(wanted, shared, has_users=ground.users is not None)
        hostname = None
        if "uts" in spaces:
            hostname = wanted.hostname or (parent and parent.hostname) or _hostname_of(name)
        ground = replace(ground, mounts=mounts, namespaces=spaces, hostname=hostname)
        self._grounds.know(await self._join(ground, wanted, asked.directory, parent))

    def _with_users(self, ground: Ground, wanted: Wanted, parent: Ground | None) -> Ground:
        """Users of its own where it has an image, or a network that containers with images may come to have.

        In a network that was made without, there are none: it would not be theirs.
        """
        if self._users is None or not (wanted.image or wanted.networks):
            return ground
        is_in_hosts = parent is not None and parent.users is None and NETWORK in parent.shared
        if is_in_hosts and not wanted.networks:
            return ground
        ground = replace(ground, users=self._users.take(ground.container_id))
        self._grounds.know(ground)
        return ground

    async def _pull(
        self, name: str, wanted: Wanted, say: Callable[[str], None]
    ) -> dict[str, Image]:
        """The images of the container and of its volumes, by name; they are kept while it is there."""
        asked = [] if wanted.image is None else [wanted.image]
        asked += [volume.image for volume in wanted.volumes if volume.image is not None]
        found: dict[str, Image] = {}
        for one in asked:
            image = await self._images.pull(_request(one), say)
            self._images.hold(name, image)
            found[_name_of(one)] = image
        return found

    async def _mount_docker_volumes(
        self, name: str, wanted: Wanted, directory: str
    ) -> dict[DockerVolume, str]:
        """Where the volumes of Docker's drivers are; new local ones belong to whom the sandbox does."""
        sources = [volume.source for volume in wanted.volumes if volume.source is not None]
        found: dict[DockerVolume, str] = {}
        for source in sources:
            volume = source.docker_volume
            if source.type is mesos.Volume.Source.Type.DOCKER_VOLUME and volume is not None:
                found[volume] = await self._docker_volumes.mount(name, volume, directory)
        return found

    def _volumes(
        self,
        name: str,
        wanted: Wanted,
        place: Place,
        images: Mapping[str, Image],
        mounted: Mapping[DockerVolume, str],
    ) -> tuple[Mount, ...]:
        return tuple(
            volume_mount(
                volume,
                place,
                lambda image: images[image].layers,
                lambda data: self._secrets.keep(name, data),
                mounted.__getitem__,
            )
            for volume in wanted.volumes
        )

    async def _join(
        self, ground: Ground, wanted: Wanted, directory: str, parent: Ground | None
    ) -> Ground:
        """The ground with the container's networks, and the files that tell the container of them."""
        name, hostname = ground.container_id, ground.hostname
        if wanted.networks:
            networks = asked_of(wanted.networks)
            ground = replace(ground, has_group=True)
            self._grounds.know(ground)
            made = await self._hold_network(name, directory, ground.users)
            attached = await self._networks.attach(name, made[NETWORK], networks)
            spaces = {**ground.namespaces, **made}
            ground = replace(ground, namespaces=spaces, attached=attached)
        elif parent is not None and NETWORK in ground.namespaces:
            ground = replace(ground, attached=parent.attached)
        if ground.image is None and not wanted.networks:
            return ground  # it sees the host's files
        place = str(self._grounds.place(name))
        is_host = NETWORK not in ground.namespaces
        mounts = self._networks.files(name, place, hostname, ground.attached, host_network=is_host)
        return replace(ground, mounts=(*ground.mounts, *mounts))

    async def _hold_network(
        self, name: str, directory: str, users: Users | None
    ) -> Mapping[str, str]:
        """The paths of a new network namespace, and of the user namespace that it belongs to, if that is new.

        They are there as long as their group.
        """
        spaces = {NETWORK: NEW} if users is None else {USER: NEW, NETWORK: NEW}
        group = ContainerSpec(
            container_id=name + NET,
            program="",
            argv=(),
            environment={},
            directory=directory,
            isolation=Isolation(namespaces=spaces, users=users),
        )
        started = await self._runtime.launch(group)
        return started.namespaces

    async def _end_group(self, group: str) -> None:
        """The namespace that the group holds is gone with its last process."""
        try:
            await self._runtime.destroy(group)
        except (HostError, OSError) as error:
            log.info("group_not_ended group=%s reason=%s", group, error)


def is_group_of_network(container_id: str) -> bool:
    """Whether nobody but this module knows the container."""
    return container_id.endswith(NET)


def _request(image: mesos.Image) -> PullRequest:
    if image.docker is None:
        if image.type is mesos.Image.Type.DOCKER:
            raise Unsupported("the image has type DOCKER, but no 'docker' that names it")
        raise Unsupported("this agent runs images of Docker and OCI, not of Appc")
    secret = image.docker.config
    if secret is not None and secret.value is None:
        raise Unsupported(
            f"this agent cannot look up the secret of the image '{image.docker.name}'"
        )
    config = None if secret is None or secret.value is None else secret.value.data.decode()
    return PullRequest(name=image.docker.name, docker_config=config, is_cached_enough=image.cached)


def _name_of(image: mesos.Image) -> str:
    return "" if image.docker is None else image.docker.name


def _parent_sandbox(asked: ProvisionContainer) -> str | None:
    """A nested container's sandbox is in that of its parent: `<parent's>/containers/<name>`."""
    if asked.parent is None:
        return None
    return asked.directory.rpartition("/")[0].rpartition("/")[0]


def _hostname_of(container_id: str) -> str:
    """Short, as Docker's: the beginning of the container's own name."""
    return container_id.rpartition(".")[2][:12]
