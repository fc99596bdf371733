"""What an OCI runtime is told of a container: pure functions from a spec to its configuration.

A container with an image has file systems of its own under /proc, /sys and /dev. One without sees those of
the host, but what its own namespaces change: /proc with a pid namespace, /sys with a network namespace,
/dev/shm and /dev/mqueue with an ipc namespace.
Source of the masked paths: what Docker masks, moby oci/defaults.go.
"""

from __future__ import annotations

import base64
import os
import re
import stat
from collections.abc import Mapping
from hashlib import sha256

from msgspec.structs import replace

from tepui.agent.containers.messages import Volume
from tepui.agent.containers.oci.config import (
    VERSION,
    CapabilitySets,
    Config,
    ConfigDevice,
    ConfigMount,
    ConsoleSize,
    IdMapping,
    Linux,
    Namespace,
    Process,
    Root,
    User,
)
from tepui.agent.containers.spec import (
    ContainerSpec,
    Inside,
    Isolation,
    Mount,
    Propagation,
    Window,
)
from tepui.base.errors import HostError

ROOTFS = "rootfs"
VOLUMES = "volumes"  # in the bundle: what the launcher mounts before the runtime begins
NEW = ""
NETWORK, USER = "network", "user"
SECCOMP_ANNOTATION = "run.oci.seccomp_bpf_data"  # crun's
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,199}")
MASKED = (
    "/proc/asound", "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
    "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
)  # fmt: skip
READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

PROC = ConfigMount("/proc", "proc", "proc", ("nosuid", "noexec", "nodev"))
SYS = ConfigMount("/sys", "sysfs", "sysfs", ("nosuid", "noexec", "nodev", "ro"))
CGROUP = ConfigMount(
    "/sys/fs/cgroup", "cgroup", "cgroup", ("nosuid", "noexec", "nodev", "relatime", "ro")
)
DEV = ConfigMount("/dev", "tmpfs", "tmpfs", ("nosuid", "strictatime", "mode=755", "size=65536k"))
PTS = ConfigMount(
    "/dev/pts",
    "devpts",
    "devpts",
    ("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
)
MQUEUE = ConfigMount("/dev/mqueue", "mqueue", "mqueue", ("nosuid", "noexec", "nodev"))
HOST_SHM = ConfigMount("/dev/shm", "bind", "/dev/shm", ("rbind", "rprivate"))
# A runtime that sees its own /dev as a mount of ours makes no devices in it: they would be the host's.
HOST_DEV = ConfigMount("/dev", "bind", "/dev", ("rbind", "rslave"))


def runtime_name(container_id: str) -> str:
    """Return the id by which the runtime knows the container: runtimes do not take every character."""
    if NAME.fullmatch(container_id):
        return container_id
    return sha256(container_id.encode()).hexdigest()


def config_of(
    spec: ContainerSpec, bundle: str, *, is_crun: bool = True, is_rootless: bool = False
) -> Config:
    """Return the configuration of a container. Raises HostError for a device that is none.

    runc mounts no cgroups, and takes no compiled filter: it is refused one, for without any it would start
    the container all the same.
    """
    own = spec.isolation
    assert own is not None, "only a container with isolation has a configuration"
    if is_rootless:
        own = rootless(spec.container_id, own)
    _refuse_beyond_users(spec, own, is_crun=is_crun)
    uid_mappings, gid_mappings = _mappings(own, is_rootless=is_rootless)
    annotations = {}
    if own.seccomp_bpf is not None:
        if not is_crun:
            cause = "runc takes rules, and no compiled filter"
            raise HostError("filter the system calls of", f"'{spec.container_id}'", cause)
        annotations[SECCOMP_ANNOTATION] = base64.b64encode(own.seccomp_bpf).decode()
    return Config(
        oci_version=VERSION,
        process=_process(spec, own),
        root=Root(ROOTFS, own.is_read_only),
        hostname=(own.hostname or "") if own.namespaces.get("uts") == NEW else "",
        mounts=(
            *(
                _without_root(own)
                if is_rootless
                else (one for one in _standard_mounts(own, bundle) if is_crun or one is not CGROUP)
            ),
            *_asked_mounts(own, bundle),
        ),
        linux=Linux(
            namespaces=_namespaces(own.namespaces),
            uid_mappings=uid_mappings,
            gid_mappings=gid_mappings,
            devices=tuple(_device(one.path) for one in own.devices) if own.layers else (),
            masked_paths=MASKED if own.layers else (),
            readonly_paths=READ_ONLY if own.layers else (),
            rootfs_propagation=_root_propagation(own.mounts),
            seccomp=own.seccomp_rules,
        ),
        annotations=annotations,
    )


def prepared_volumes(own: Isolation) -> tuple[Volume, ...]:
    """Return the mounts that the launcher makes in the bundle, in the order of their numbers."""
    asked = (
        Volume(
            one.source or "",
            one.layers,
            is_mapped=own.users is not None and not one.has_outer_owners,
        )
        for one in own.mounts
        if _is_prepared(own, one)
    )
    return (*asked, *(Volume("", (), kind) for kind in _kinds_prepared(own)))


def notes_on(spec: ContainerSpec) -> tuple[str, ...]:
    """Return sentences on what a runtime cannot give as asked."""
    called = spec.argv[0] if spec.argv else spec.program
    if os.path.basename(called) == os.path.basename(spec.program):
        return ()
    return (f"the program '{spec.program}' is called by its own name, not by '{called}'",)


def process_inside(spec: ContainerSpec, inside: Inside) -> Process:
    """Return the process of a session; what it may is as in the container that it is in."""
    return Process(
        terminal=spec.tty is not None,
        console_size=_console_size(spec.tty),
        user=User(inside.uid, inside.gid, spec.umask, inside.groups),
        args=(spec.program, *spec.argv[1:]),
        env=_environment(spec),
        cwd=inside.directory,
    )


def _process(spec: ContainerSpec, own: Isolation) -> Process:
    return Process(
        terminal=spec.tty is not None,
        console_size=_console_size(spec.tty),
        user=User(own.uid, own.gid, spec.umask, own.groups),
        args=(spec.program, *spec.argv[1:]),
        env=_environment(spec),
        cwd=own.directory,
        capabilities=CapabilitySets(
            own.bounding_capabilities or own.capabilities,
            own.capabilities,
            own.capabilities,
            *((own.capabilities, own.capabilities) if own.is_ambient else ()),
        ),
        no_new_privileges=own.no_new_privileges,
    )


def _console_size(window: Window | None) -> ConsoleSize | None:
    return None if window is None else ConsoleSize(window.rows, window.columns)


def _environment(spec: ContainerSpec) -> tuple[str, ...]:
    return tuple(f"{name}={value}" for name, value in spec.environment.items())


def _refuse_beyond_users(spec: ContainerSpec, own: Isolation, *, is_crun: bool) -> None:
    """Raises HostError for what a user namespace does not have."""
    if own.users is None:
        return
    subject = f"'{spec.container_id}'"
    if not is_crun:
        raise HostError("give a user namespace to", subject, "only crun is used for that")
    for one in own.mounts:
        if one.propagation is Propagation.BOTH_WAYS:
            cause = "what is mounted in a user namespace is never seen outside"
            raise HostError("share the mounts of", f"'{one.destination}'", cause)
    ids = (own.uid, own.gid, *own.groups)
    if max(ids) >= own.users.count:
        cause = f"the container has users and groups below {own.users.count} only"
        raise HostError("run as", f"'{max(ids)}'", cause)


def _mappings(
    own: Isolation, *, is_rootless: bool
) -> tuple[tuple[IdMapping, ...], tuple[IdMapping, ...]]:
    """Those of a new user namespace, of users and groups; one that is joined has its own."""
    if is_rootless:  # its only user is the root of the namespace around it: the agent's user
        return (IdMapping(own.uid, 0, 1),), (IdMapping(own.gid, 0, 1),)
    if own.users is None or own.namespaces.get(USER) != NEW:
        return (), ()
    mappings = (IdMapping(0, own.users.first, own.users.count),)
    return mappings, mappings


def rootless(container_id: str, own: Isolation) -> Isolation:
    """Return what of it a user who is not root can give. Raises HostError for what is missing."""
    if any(own.namespaces.values()):
        cause = "the agent does not run as root: a container has the host's network, or none"
        raise HostError("join a network with", f"'{container_id}'", cause)
    for one in own.mounts:
        if one.propagation is Propagation.BOTH_WAYS:
            cause = "the agent does not run as root: what is mounted in a container is never seen outside"
            raise HostError("share the mounts of", f"'{one.destination}'", cause)
    return replace(own, groups=(), namespaces={**own.namespaces, USER: NEW})


def _without_root(own: Isolation) -> tuple[ConfigMount, ...]:
    """The standard file systems, where what is the host's can be bound only, and groups are not there."""
    pts = tuple(one for one in PTS.options if not one.startswith("gid="))
    standard = _standard_mounts(replace(own, users=None), "")
    changed = {
        PTS: ConfigMount(PTS.destination, PTS.type, PTS.source, pts),
        SYS: SYS if NETWORK in own.namespaces else _bound(SYS),
        PROC: PROC if "pid" in own.namespaces else _bound(PROC),
    }
    left_out = {CGROUP} if "ipc" in own.namespaces else {CGROUP, MQUEUE}
    return tuple(changed.get(one, one) for one in standard if one not in left_out)


def _bound(one: ConfigMount) -> ConfigMount:
    return ConfigMount(one.destination, "bind", one.destination, ("rbind", "rslave", *one.options))


def _kinds_prepared(own: Isolation) -> tuple[str, ...]:
    """The kernel's files that a user namespace cannot mount, as they are about another namespace than its own."""
    if own.users is None:
        return ()
    is_own_network = NETWORK in own.namespaces and (
        own.namespaces[NETWORK] == NEW or own.namespaces.get(USER) != NEW
    )
    kinds = () if is_own_network else (SYS.type,)
    return kinds if "pid" in own.namespaces else (*kinds, PROC.type)


def _namespaces(asked: Mapping[str, str]) -> tuple[Namespace, ...]:
    return (
        Namespace("mount"),
        *(Namespace(kind, path) for kind, path in asked.items() if kind != "mount"),
    )


def _standard_mounts(own: Isolation, bundle: str) -> tuple[ConfigMount, ...]:
    """The file systems of the kernel, those first on whose ground others stand."""
    taken = {os.path.normpath(one.destination) for one in own.mounts}
    has_ipc = "ipc" in own.namespaces
    shm = _own_shm(own.shm_bytes) if own.namespaces.get("ipc") == NEW else HOST_SHM
    found: tuple[ConfigMount, ...]
    if own.layers:
        # Those queues are the ipc namespace's, whoever mounts them: the host need not have done so.
        found = (PROC, SYS, CGROUP, DEV, PTS, shm, MQUEUE)
    else:
        found = (HOST_DEV,)
        if "pid" in own.namespaces:
            found += (PROC,)
        if "network" in own.namespaces:
            found += (SYS, CGROUP)
        if has_ipc:
            found += (shm, MQUEUE)
    if own.users is not None:
        if not has_ipc:
            found = tuple(one for one in found if one is not MQUEUE)  # the host's are not its own
        at = sum(1 for one in own.mounts if _is_prepared(own, one))
        ready = {
            kind: f"{bundle}/{VOLUMES}/{at + n}" for n, kind in enumerate(_kinds_prepared(own))
        }
        found = tuple(
            ConfigMount(one.destination, "bind", ready[one.type], ("rbind", *one.options))
            if one.type in ready
            else one
            for one in found
        )
    return tuple(one for one in found if one.destination not in taken)


def _own_shm(size_bytes: int) -> ConfigMount:
    options = ("nosuid", "noexec", "nodev", "mode=1777", f"size={size_bytes}")
    return ConfigMount("/dev/shm", "tmpfs", "shm", options)


def _is_prepared(own: Isolation, mount: Mount) -> bool:
    """With users, what is the host's has to be reached by somebody who is not root, and get other owners."""
    if own.users is not None and mount.source is not None:
        return True
    return bool(mount.layers) or mount.propagation is Propagation.BOTH_WAYS


def _asked_mounts(own: Isolation, bundle: str) -> tuple[ConfigMount, ...]:
    found: list[ConfigMount] = []
    prepared = 0
    for one in own.mounts:
        access = "ro" if one.read_only or one.layers else "rw"
        if _is_prepared(own, one):
            source = f"{bundle}/{VOLUMES}/{prepared}"
            prepared += 1
        elif one.source is not None:
            source = one.source
        else:
            options = (access, *one.options)
            found.append(ConfigMount(one.destination, "tmpfs", "tmpfs", options))
            continue
        spread = "rprivate" if one.propagation is Propagation.PRIVATE else one.propagation.value
        options = ("rbind", access, spread, *one.options)
        found.append(ConfigMount(one.destination, "bind", source, options))
    return tuple(found)


def _root_propagation(mounts: tuple[Mount, ...]) -> str:
    """The weakest under which each mount keeps its own; '' is the runtime's, private."""
    kinds = {one.propagation for one in mounts}
    if Propagation.BOTH_WAYS in kinds:
        return Propagation.BOTH_WAYS.value
    return Propagation.FROM_HOST.value if Propagation.FROM_HOST in kinds else ""


def _device(path: str) -> ConfigDevice:
    try:
        found = os.stat(path)
    except OSError as error:
        raise HostError("give the device", f"'{path}'", str(error.strerror)) from None
    if not (stat.S_ISCHR(found.st_mode) or stat.S_ISBLK(found.st_mode)):
        raise HostError("give the device", f"'{path}'", "it is no device")
    return ConfigDevice(
        path=path,
        type="b" if stat.S_ISBLK(found.st_mode) else "c",
        major=os.major(found.st_rdev),
        minor=os.minor(found.st_rdev),
        file_mode=stat.S_IMODE(found.st_mode),
        uid=found.st_uid,
        gid=found.st_gid,
    )
