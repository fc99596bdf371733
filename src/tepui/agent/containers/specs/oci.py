"""The `ContainerSpec` of a container with namespaces and a root of its own."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from tepui.agent.containers.images.image import Image, ImageConfig
from tepui.agent.containers.isolation.devices import ALL_DEVICES
from tepui.agent.containers.networks.spec import Attached
from tepui.agent.containers.spec import ContainerSpec, Isolation, Mount, Users, Window
from tepui.agent.containers.specs.image_users import ImageUser
from tepui.agent.containers.specs.privileges import Privileges
from tepui.agent.containers.specs.programs import (
    docker_program_of,
    environment_in,
    program_of,
)
from tepui.agent.containers.specs.wanted import Wanted
from tepui.wire import mesos

NETWORK, USER = "network", "user"
NEW = ""  # a namespace of its own; see Isolation
SHM_BYTES = 64 << 20  # as Docker's
MIB = 1 << 20
SMALL_TMPFS = ("nosuid", "nodev")


class Ground(Struct, frozen=True, kw_only=True):
    """What was made ready for a container before it runs; kept on disk while there is the container."""

    container_id: str
    image: Image | None = None
    images: tuple[Image, ...] = ()  # with those of its volumes
    user: ImageUser = ImageUser()  # known once it is launched
    hostname: str | None = None
    sandbox_inside: str  # where the container sees its sandbox
    directory: str = ""  # where its program begins, and those of its sessions; '': in the sandbox
    users: Users | None = None  # of its user namespace, or of that of the containers within it
    mounts: tuple[Mount, ...] = ()
    namespaces: Mapping[str, str] = {}  # to join, or new ones: as Isolation has them
    attached: tuple[Attached, ...] = ()  # the networks that it, or its pod, has joined
    has_group: bool = False  # one that holds its network namespace

    @property
    def shared(self) -> dict[str, str]:
        """The namespaces that containers within this one join."""
        return {kind: path for kind, path in self.namespaces.items() if path != NEW}


def namespaces_of(
    wanted: Wanted, parent: Mapping[str, str], *, has_users: bool = False
) -> dict[str, str]:
    """The namespaces that the container has new, or joins; `parent` has those of the pod that it is in.

    With an image all are new, but that of the network: that is the pod's, or the host's. Without one, only
    what was asked for: the task is a process that sees volumes or a network of its own. Those of networks
    that are asked for are made before, and known later. A network belongs to the user namespace in which it was made: with an image
    it is joined, where there are users of its own.
    """
    found: dict[str, str] = {}
    linux = wanted.linux or mesos.LinuxInfo()
    if wanted.image is not None:
        found = {"pid": NEW, "ipc": NEW, "uts": NEW, "cgroup": NEW}
    if linux.share_pid_namespace:
        found.pop("pid", None)
    if linux.ipc_mode is mesos.LinuxInfo.IpcMode.PRIVATE or linux.shm_size is not None:
        found["ipc"] = NEW
    elif linux.ipc_mode is mesos.LinuxInfo.IpcMode.SHARE_PARENT:
        found.pop("ipc", None)
    if wanted.hostname is not None or wanted.networks or wanted.is_without_network:
        found["uts"] = NEW
    if wanted.is_without_network:
        found[NETWORK] = NEW
    elif not wanted.networks and NETWORK in parent:
        found[NETWORK] = parent[NETWORK]
    elif not wanted.networks and wanted.hostname is None:
        found.pop("uts", None)  # on the host's network it has the host's name
    if has_users and wanted.image is not None:
        joins = bool(found.get(NETWORK))
        found[USER] = parent.get(USER, NEW) if joins else NEW
    return found


def oci_spec(
    plain: ContainerSpec,
    wanted: Wanted,
    ground: Ground,
    privileges: Privileges,
    command: mesos.CommandInfo,
) -> ContainerSpec:
    """The container on its ground; `plain` says what all containers have. Raises Unsupported."""
    image = None if ground.image is None else ground.image.config
    if wanted.is_docker and image is not None:
        program, argv = docker_program_of(command, image)
    else:
        program, argv = program_of(command, image)
    tmpfs = tuple(
        Mount(
            destination=path,
            source=None,
            options=tuple(options.split(",")) if options else SMALL_TMPFS,
        )
        for path, options in wanted.tmpfs
    )
    users = None if image is None else ground.users
    spaces = {kind: path for kind, path in ground.namespaces.items() if kind != USER or users}
    linux = wanted.linux or mesos.LinuxInfo()
    shm_bytes = wanted.shm_bytes or (linux.shm_size or 0) * MIB or SHM_BYTES
    isolation = Isolation(
        layers=() if ground.image is None else ground.image.layers,
        directory=ground.directory or ground.sandbox_inside,
        uid=ground.user.uid,
        gid=ground.user.gid,
        groups=ground.user.groups,
        namespaces=spaces,
        users=users,
        hostname=ground.hostname if "uts" in ground.namespaces else None,
        mounts=(*_sandbox(plain, ground), *ground.mounts, *tmpfs),
        capabilities=privileges.effective,
        bounding_capabilities=privileges.bounding,
        is_ambient=privileges.is_ambient,
        no_new_privileges=privileges.no_new,
        seccomp_bpf=privileges.seccomp_bpf,
        seccomp_rules=privileges.seccomp_rules,
        shm_bytes=shm_bytes,
        is_read_only=wanted.is_read_only,
    )
    return ContainerSpec(
        container_id=plain.container_id,
        program=program,
        argv=argv,
        environment=_environment(plain, wanted, ground, image, command),
        directory=plain.directory,
        rlimits=wanted.rlimits,
        cpus_milli=plain.cpus_milli,
        cpus_limit_milli=plain.cpus_limit_milli,
        mem_bytes=plain.mem_bytes,
        mem_soft_bytes=plain.mem_soft_bytes,
        pids_max=plain.pids_max,
        cpuset=plain.cpuset,
        io_weight=plain.io_weight,
        devices=ALL_DEVICES if wanted.is_privileged else plain.devices,
        parent=plain.parent,
        has_own_limits=plain.has_own_limits,
        tty=plain.tty,
        isolation=isolation,
    )


def window_of(container: mesos.ContainerInfo | None) -> Window | None:
    """The terminal that the container asks for, if it does."""
    if container is None or container.tty_info is None:
        return None
    size = container.tty_info.window_size
    return Window() if size is None else Window(rows=size.rows, columns=size.columns)


def directory_of(wanted: Wanted, image: Image | None) -> str:
    """Where its program begins: as asked for, else as the image says; '' in the sandbox."""
    return wanted.directory or ("" if image is None else image.config.directory)


def _sandbox(plain: ContainerSpec, ground: Ground) -> tuple[Mount, ...]:
    """The sandbox, where the root is not the host's."""
    if ground.image is None:
        return ()
    return (Mount(destination=ground.sandbox_inside, source=plain.directory),)


def _environment(
    plain: ContainerSpec,
    wanted: Wanted,
    ground: Ground,
    image: ImageConfig | None,
    command: mesos.CommandInfo,
) -> dict[str, str]:
    environment = {**wanted.environment, **plain.environment}
    if image is None:
        return environment
    return environment_in(
        image, command, environment, sandbox=ground.sandbox_inside, home=ground.user.home
    )
