"""A real distribution as an image: pushed to a registry, run without Docker and with it, and compared."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import Struct
from msgspec.structs import replace

from tepui.agent.containers.images.image import ImageConfig
from tepui.agent.containers.images.images import Images
from tepui.agent.containers.images.pushing import RootDirectory
from tepui.agent.containers.images.settings import ImageSettings
from tepui.wire import mesos
from tests.agent.containers.images.test_docker_registry import registry
from tests.real.cluster import Cluster
from tests.real.conftest import lacks
from tests.real.container_images import Images as Archives
from tests.real.container_lab import Lab, Scheduler, variable
from tests.real.distribution import WORKER, make_root, why_not
from tests.real.docker_engine import docker_engine
from tests.real.docker_engine import why_not as why_no_engine

pytestmark = pytest.mark.real

# One line a fact: its name, and what the task sees.
LOOK = r"""
. /etc/os-release; echo "os $ID $VERSION_ID"
echo "kernel $(uname -srm)"
echo "id $(id)"
echo "cwd $(pwd)"
echo "umask $(umask)"
echo "hostname $(hostname 2>/dev/null || cat /proc/sys/kernel/hostname)"
echo "first $(cat /proc/1/comm)"
env | sort | while IFS='=' read -r name value; do echo "env.$name $value"; done
for letter in c d f l n s t v; do echo "ulimit.$letter $(ulimit -$letter) $(ulimit -H$letter)"; done
while read -r source place kind options rest; do
    case $place in
    /|/proc|/sys|/sys/fs/cgroup|/dev|/dev/pts|/dev/shm|/dev/mqueue|/mnt/mesos/sandbox)
        kept=
        for one in ro nosuid nodev noexec; do
            case ",$options," in *",$one,"*) kept="$kept,$one";; esac
        done
        echo "mount.$place $kind$kept";;
    esac
done </proc/self/mounts
while read -r name value; do
    case $name in Cap*|NoNewPrivs:|Seccomp:|Groups:) echo "status.$name $value";; esac
done </proc/self/status
for name in su passwd mount; do echo "mode.$name $(stat -c '%a %u:%g' /usr/bin/$name)"; done
echo "mode.tmp $(stat -c '%a %u:%g' /tmp)"
[ /usr/bin/perl -ef /usr/bin/perl5* ] && echo "hardlink perl $(stat -c %h /usr/bin/perl)"
echo "link.bin $(readlink /bin)"
echo "attribute.user $(getfattr --absolute-names --only-values -n user.tepui /usr/bin/noted)"
echo "attribute.capability $(getfattr --absolute-names -e hex -n security.capability /usr/bin/able | grep =)"
echo "dev $(ls /dev | xargs)"
echo "masked $(stat -c %F /proc/timer_list) $(ls /proc/acpi 2>/dev/null | wc -l)"
echo "sysctl $( (echo x >/proc/sys/kernel/hostname) 2>/dev/null && echo written || echo refused)"
echo "packages $(dpkg-query --version | head -n 1)"
echo "bash $(bash -c 'echo $BASH_VERSION')"
"""

# What differs, and why it is meant to.
MEANT = {
    "env.HOSTNAME": "Docker adds it",
    "env.TEPUI_CONTAINER": "the launcher finds its containers' processes by it",
    "dev": "crun makes the link /dev/core, to a file that is hidden",
    "env.MESOS_CONTAINER_NAME": "it is the name at Docker Engine",
    "env.MESOS_DIRECTORY": "each task has a sandbox of its own",
    "env.MESOS_FRAMEWORK_ID": "they are two clusters",
    "env.MESOS_SLAVE_ID": "they are two clusters",
    "env.MESOS_SLAVE_PID": "they are two clusters",
    "env.MESOS_AGENT_ENDPOINT": "they are two clusters",
    "status.NoNewPrivs:": "Docker lets set-user-id programs gain rights, Tepui does not",
}  # fmt: skip


class Seen(Struct, frozen=True):
    """What a task saw, with Docker and without."""

    without: dict[str, str]
    with_docker: dict[str, str]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    """The same task on an agent without Docker and on one with it, from one image in a registry."""
    missing = why_not() or lacks() or why_no_engine()
    if not missing and shutil.which("docker-registry") is None:
        missing = "docker-registry is not installed"
    if missing:
        pytest.skip(missing)
    place = tmp_path_factory.mktemp("distribution")
    make_root(place / "root")
    with registry(place) as host:
        image = f"{host}/debian/minimal:1"
        asyncio.run(push(place, image))
        shutil.rmtree(place / "root")
        flags = ["--containerizers=process,oci", f"--insecure_registries={host}"]
        own = of_mesos(image)
        without = saw(place / "without", flags, own)
        with docker_engine() as engine:
            flags = ["--containerizers=process,docker", f"--docker_socket={engine.socket}"]
            docker = mesos.ContainerInfo.DockerInfo(image=image)
            kind = mesos.ContainerInfo.Type.DOCKER
            yield Seen(
                without, saw(place / "with", flags, mesos.ContainerInfo(type=kind, docker=docker))
            )


async def push(place: Path, image: str) -> None:
    """The registry has the image."""
    images = Images(place / "store", ImageSettings())
    await images.start()
    config = ImageConfig(
        environment=("PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"),
        directory="/tmp",
        user="worker",
    )
    try:
        await images.push(RootDirectory(place / "root", config), image, None, lambda text: None)
    finally:
        await images.close()


def of_mesos(image: str) -> mesos.ContainerInfo:
    """A container of Tepui's own."""
    named = mesos.Image(type=mesos.Image.Type.DOCKER, docker=mesos.Image.Docker(name=image))
    return mesos.ContainerInfo(
        type=mesos.ContainerInfo.Type.MESOS, mesos=mesos.ContainerInfo.MesosInfo(image=named)
    )


def saw(place: Path, flags: list[str], container: mesos.ContainerInfo) -> dict[str, str]:
    """What a task in such a container sees, by the names of the facts; nothing is left of it."""
    found: dict[str, str] = {}
    with Cluster(place, agent_flags=flags) as cluster:
        lab = Lab(cluster, Archives("", "", "", "", ""))
        before = lab.traces()

        async def story(scheduler: Scheduler) -> None:
            task = lab.task("look", LOOK, container=container)
            assert task.command is not None
            command = replace(task.command, user=None, environment=variable("GIVEN", "by the task"))
            for line in (await scheduler.said(replace(task, command=command))).splitlines():
                name, _, value = line.partition(" ")
                found[name] = value

        lab.play(story)
        lab.check_clean(before)
    return found


def test_distribution_is_in_its_container_what_it_was_on_disk(seen: Seen) -> None:
    without = seen.without
    assert without["os"].split()[0] in ("debian", "ubuntu")
    assert without["id"] == f"uid={WORKER}(worker) gid={WORKER}(worker) groups={WORKER}(worker)"
    assert without["cwd"] == "/tmp"
    assert without["env.GIVEN"] == "by the task"
    assert (without["mode.su"], without["mode.passwd"]) == ("4755 0:0", "4755 0:0")
    assert without["mode.tmp"] == "1777 0:0"
    assert without["hardlink"] == "perl 2"
    assert without["attribute.user"] == "kept"
    assert (
        without["attribute.capability"]
        == "security.capability=0x0100000200200000000000000000000000000000"
    )
    assert without["sysctl"] == "refused"
    assert "character special file" in without["masked"]
    assert without["packages"]
    assert without["bash"]


def test_both_see_the_same_but_for_what_is_meant_to_differ(seen: Seen) -> None:
    names = {*seen.without, *seen.with_docker}
    differing = {
        name: (seen.without.get(name), seen.with_docker.get(name))
        for name in sorted(names)
        if seen.without.get(name) != seen.with_docker.get(name)
    }
    assert {name: both for name, both in differing.items() if name not in MEANT} == {}
