"""The volumes that a task asks for, as mounts.

    asked                         source                        destination
    HOST_PATH, absolute host_path that path, which must exist   container_path
    SANDBOX_PATH SELF, relative   a directory in the sandbox    container_path, which is absolute
    SANDBOX_PATH PARENT           one in the parent's sandbox   container_path
    image                         the image's layers            container_path
    SECRET                        a file in memory              container_path
    DOCKER_VOLUME                 where its driver has it       container_path

A relative container_path is in the sandbox. An absolute one must exist where the container has the
root of the host: nothing is made there.

Source: Mesos volume/host_path, volume/sandbox_path, volume/secret, volume/image and docker/volume
isolators.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from msgspec import Struct

from tepui.agent.containers.spec import Mount, Propagation
from tepui.agent.containers.specs.errors import Unsupported
from tepui.wire import mesos

Kind = mesos.Volume.Source.Type
Side = mesos.Volume.Source.SandboxPath.Type
Mode = mesos.MountPropagation.Mode


class Place(Struct, frozen=True):
    """The container that the volumes are for."""

    sandbox: str  # on the host
    sandbox_inside: str  # where the container sees it
    parent_sandbox: str | None  # on the host; None: it has no parent
    has_image: bool  # else its root is the host's


def volume_mount(
    volume: mesos.Volume,
    place: Place,
    image_layers: Callable[[str], tuple[str, ...]],
    secret_file: Callable[[bytes], str],
    docker_volume: Callable[[mesos.Volume.Source.DockerVolume], str],
) -> Mount:
    """One volume as a mount; directories of sandboxes are made. Raises Unsupported.

    `image_layers` knows the images of image volumes by name; `secret_file` keeps what it is given in memory
    and returns its path; `docker_volume` knows where volumes of Docker's drivers have been mounted.
    """
    destination = _destination(volume, place)
    read_only = volume.mode is mesos.Volume.Mode.RO
    source = volume.source
    kind = None if source is None else source.type
    if volume.image is not None:
        if volume.image.docker is None:
            raise Unsupported(
                f"the volume '{volume.container_path}' has an image that is not Docker's"
            )
        layers = image_layers(volume.image.docker.name)
        return Mount(destination=destination, source=None, layers=layers, read_only=True)
    if source is None and volume.host_path is not None:
        if os.path.isabs(volume.host_path):
            return _host_path(volume.host_path, destination, None, read_only=read_only)
        return _sandbox_path(volume, volume.host_path, Side.SELF, destination, place)
    if source is not None and kind is Kind.HOST_PATH and source.host_path is not None:
        host = source.host_path
        return _host_path(host.path, destination, host.mount_propagation, read_only=read_only)
    if source is not None and kind is Kind.SANDBOX_PATH and source.sandbox_path is not None:
        inner = source.sandbox_path
        return _sandbox_path(volume, inner.path, inner.type, destination, place)
    if source is not None and kind is Kind.SECRET and source.secret is not None:
        if source.secret.value is None:
            raise Unsupported(f"this agent cannot look up the secret of '{volume.container_path}'")
        path = secret_file(source.secret.value.data)
        return Mount(destination=destination, source=path, read_only=True, has_outer_owners=True)
    if source is not None and kind is Kind.DOCKER_VOLUME and source.docker_volume is not None:
        path = docker_volume(source.docker_volume)
        return Mount(destination=destination, source=path, read_only=read_only)
    name = "no source" if kind is None else f"a source of type {kind.name}"
    raise Unsupported(
        f"this agent does not mount the volume '{volume.container_path}': it has {name}"
    )


def _destination(volume: mesos.Volume, place: Place) -> str:
    path = volume.container_path
    if ".." in path.split("/"):
        raise Unsupported(f"the volume's container_path '{path}' has a '..' in it")
    if not os.path.isabs(path):
        return os.path.join(place.sandbox_inside, path)
    if not place.has_image and not os.path.exists(path):
        raise Unsupported(
            f"Mount point '{path}' is an absolute path. "
            "It must exist if the container shares the host filesystem"
        )
    return path


def _host_path(
    path: str, destination: str, propagation: mesos.MountPropagation | None, *, read_only: bool
) -> Mount:
    if not os.path.isabs(path):
        raise Unsupported(f"Path '{path}' in HOST_PATH volume is not absolute")
    if not os.path.exists(path):
        raise Unsupported(f"Path '{path}' in HOST_PATH volume does not exist")
    mode = None if propagation is None else propagation.mode
    kinds = {
        Mode.HOST_TO_CONTAINER: Propagation.FROM_HOST,
        Mode.BIDIRECTIONAL: Propagation.BOTH_WAYS,
    }
    kind = Propagation.PRIVATE if mode is None else kinds.get(mode, Propagation.PRIVATE)
    return Mount(destination=destination, source=path, read_only=read_only, propagation=kind)


def _sandbox_path(
    volume: mesos.Volume, path: str, side: Side | None, destination: str, place: Place
) -> Mount:
    if os.path.isabs(path):
        raise Unsupported(f"Path '{path}' in SANDBOX_PATH volume is absolute")
    if ".." in path.split("/"):
        raise Unsupported(f"Path '{path}' in SANDBOX_PATH volume has a '..' in it")
    if side is Side.SELF:
        if not os.path.isabs(volume.container_path):
            raise Unsupported("'container_path' is relative for SANDBOX_PATH volume SELF type")
        root = place.sandbox
    elif side is Side.PARENT:
        if place.parent_sandbox is None:
            raise Unsupported("SANDBOX_PATH volume PARENT type only works for nested container")
        root = place.parent_sandbox
    else:
        raise Unsupported("Unknown SANDBOX_PATH volume type")
    source = _made_in(root, path)
    return Mount(
        destination=destination, source=source, read_only=volume.mode is mesos.Volume.Mode.RO
    )


def _made_in(root: str, path: str) -> str:
    """The directory below `root`, made if it is not there, owned as `root` is."""
    whole = os.path.join(root, path)
    # Tasks write in sandboxes: a link of theirs must not lead anywhere else.
    if os.path.realpath(whole) != os.path.join(os.path.realpath(root), os.path.normpath(path)):
        raise Unsupported(f"Path '{path}' in SANDBOX_PATH volume leads out of the sandbox")
    if not os.path.exists(whole):
        # Tasks of a group are launched at once: another may make it now.
        os.makedirs(whole, exist_ok=True)
        owner = os.stat(root)
        os.chown(whole, owner.st_uid, owner.st_gid)
    return whole
