"""Specs as OCI runtimes are told of them, whole and part by part; and which runtime a machine has."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest
from msgspec import json
from msgspec.structs import replace

from tepui.agent.containers.oci.bundle import (
    SECCOMP_ANNOTATION,
    config_of,
    notes_on,
    prepared_volumes,
    process_inside,
    runtime_name,
)
from tepui.agent.containers.oci.config import ConfigMount
from tepui.agent.containers.oci.finding import CGROUPS, HYBRID, OciProgram, find_runtime
from tepui.agent.containers.spec import (
    ContainerSpec,
    Device,
    Inside,
    Isolation,
    Mount,
    Propagation,
    Users,
    Window,
)
from tepui.base.errors import HostError

GOLDEN = Path(__file__).with_name("golden")
BUNDLE = "/run/tepui/bundles/c1"
IMAGE = Isolation(
    layers=("/images/base", "/images/top"),
    directory="/mnt/mesos/sandbox",
    uid=1000,
    gid=100,
    groups=(4, 5),
    namespaces={"pid": "", "ipc": "", "uts": "", "cgroup": "", "network": "/proc/7/fd/9"},
    hostname="box",
    mounts=(
        Mount(destination="/mnt/mesos/sandbox", source="/srv/sandbox"),
        Mount(destination="/etc/resolv.conf", source="/srv/resolv.conf", read_only=True),
        Mount(destination="/image", source=None, layers=("/images/data",)),
        Mount(destination="/shared", source="/srv", propagation=Propagation.BOTH_WAYS),
        Mount(destination="/run", source=None, options=("size=1m", "nosuid")),
    ),
    capabilities=("CAP_CHOWN",),
    bounding_capabilities=("CAP_CHOWN", "CAP_KILL"),
    seccomp_bpf=b"\0\1\2\3",
    shm_bytes=1 << 20,
    is_read_only=True,
)
USERS = replace(
    IMAGE,
    namespaces={"pid": "", "ipc": "", "uts": "", "cgroup": "", "user": ""},
    users=Users(first=1_900_000_000, count=65_536),
    mounts=tuple(one for one in IMAGE.mounts if one.propagation is not Propagation.BOTH_WAYS),
)
HOST_ROOT = Isolation(
    directory="/srv/sandbox",
    namespaces={"pid": "", "network": ""},
    mounts=(Mount(destination="/data", source="/srv", propagation=Propagation.FROM_HOST),),
)


def spec(isolation: Isolation) -> ContainerSpec:
    return ContainerSpec(
        container_id="c1",
        program="/bin/sh",
        argv=("sh", "-c", "exit 3"),
        environment={"PATH": "/bin", "A": "b=c"},
        directory="/srv/sandbox",
        isolation=isolation,
    )


def mounts_of(isolation: Isolation) -> dict[str, ConfigMount]:
    return {one.destination: one for one in config_of(spec(isolation), BUNDLE).mounts}


@pytest.mark.parametrize(
    ("name", "isolation"), [("image", IMAGE), ("users", USERS), ("host-root", HOST_ROOT)]
)
def test_configuration_is_as_it_was(name: str, isolation: Isolation) -> None:
    text = json.format(json.encode(config_of(spec(isolation), BUNDLE))).decode() + "\n"
    assert text == (GOLDEN / f"oci-{name}.json").read_text()


def test_mounts_of_the_bundle_are_numbered_in_their_order() -> None:
    layers, shared = prepared_volumes(IMAGE)
    assert layers.layers
    assert shared.source == "/srv"
    assert not shared.is_mapped
    mounts = mounts_of(IMAGE)
    assert mounts["/image"].source == f"{BUNDLE}/volumes/0"
    assert mounts["/shared"].source == f"{BUNDLE}/volumes/1"
    assert mounts["/image"].options == ("rbind", "ro", "rprivate")
    assert mounts["/shared"].options == ("rbind", "rw", "rshared")


def test_root_passes_on_what_its_mounts_need() -> None:
    for kinds, expected in (
        ((Propagation.PRIVATE,), ""),
        ((Propagation.PRIVATE, Propagation.FROM_HOST), "rslave"),
        ((Propagation.FROM_HOST, Propagation.BOTH_WAYS), "rshared"),
    ):
        mounts = tuple(Mount(destination="/x", source="/y", propagation=one) for one in kinds)
        config = config_of(spec(replace(IMAGE, mounts=mounts)), BUNDLE)
        assert config.linux.rootfs_propagation == expected


def test_shared_memory_is_the_containers_own_the_hosts_or_as_mounted() -> None:
    own = mounts_of(IMAGE)["/dev/shm"]
    assert (own.type, own.options[-1]) == ("tmpfs", "size=1048576")
    hosts = mounts_of(replace(IMAGE, namespaces={"pid": ""}))
    assert (hosts["/dev/shm"].source, hosts["/dev/mqueue"].type) == ("/dev/shm", "mqueue")
    mounted = Mount(destination="/dev/shm/", source="/run/shm-of-group")
    config = config_of(spec(replace(IMAGE, mounts=(mounted,))), BUNDLE)
    assert [one.source for one in config.mounts if "shm" in one.destination] == [
        "/run/shm-of-group"
    ]


def test_devices_are_made_in_the_container_as_the_host_has_them() -> None:
    config = config_of(spec(replace(IMAGE, devices=(Device(path="/dev/zero"),))), BUNDLE)
    (device,) = config.linux.devices
    assert (device.path, device.type, device.major, device.minor) == ("/dev/zero", "c", 1, 5)
    for path, cause in (("/dev/no-such", "No such file"), ("/etc/passwd", "it is no device")):
        with pytest.raises(HostError, match=f"give the device '{path}': {cause}"):
            config_of(spec(replace(IMAGE, devices=(Device(path=path),))), BUNDLE)


def test_filter_is_passed_in_the_annotation_of_the_runtime_that_knows_it() -> None:
    config = config_of(spec(IMAGE), BUNDLE)
    assert base64.b64decode(config.annotations[SECCOMP_ANNOTATION]) == b"\0\1\2\3"
    assert config_of(spec(replace(IMAGE, seccomp_bpf=None)), BUNDLE).annotations == {}


def test_other_runtime_gets_rules_and_no_cgroups_and_is_refused_a_compiled_filter() -> None:
    rules = {"defaultAction": "SCMP_ACT_ERRNO"}
    ruled = replace(IMAGE, seccomp_bpf=None, seccomp_rules=rules)
    config = config_of(spec(ruled), BUNDLE, is_crun=False)
    assert (config.annotations, config.linux.seccomp) == ({}, rules)
    assert "/sys/fs/cgroup" not in [one.destination for one in config.mounts]
    with pytest.raises(HostError, match="runc takes rules, and no compiled filter"):
        config_of(spec(IMAGE), BUNDLE, is_crun=False)


def test_session_is_a_process_without_more_rights_than_its_container() -> None:
    inside = Inside(uid=5, gid=6, groups=(7,), directory="/tmp")
    process = process_inside(replace(spec(IMAGE), tty=Window()), inside)
    assert json.decode(json.encode(process)) == {
        "terminal": True,
        "consoleSize": {"height": 24, "width": 80},
        "user": {"uid": 5, "gid": 6, "umask": 0o22, "additionalGids": [7]},
        "args": ["/bin/sh", "-c", "exit 3"],
        "env": ["PATH=/bin", "A=b=c"],
        "cwd": "/tmp",
    }


def test_program_that_is_to_be_called_by_another_name_is_noted() -> None:
    assert notes_on(spec(IMAGE)) == ()
    (note,) = notes_on(replace(spec(IMAGE), argv=("ls", "-l")))
    assert note == "the program '/bin/sh' is called by its own name, not by 'ls'"


def test_runtime_gets_names_that_it_takes_and_that_lead_nowhere() -> None:
    assert runtime_name("a-1.b_2") == "a-1.b_2"
    odd = ["..", ".", "-x", "a b", "ü", "a/b", "x" * 201, ""]
    names = [runtime_name(one) for one in odd]
    assert all(len(name) == 64 and name.isalnum() for name in names)
    assert len(set(names)) == len(odd)


def tools(directory: Path, *names: str) -> str:
    directory.mkdir()
    for name in names:
        (directory / name).touch(mode=0o755)
    return str(directory)


def test_faster_runtime_is_taken_and_what_is_missing_is_said_in_one_sentence(
    tmp_path: Path,
) -> None:
    filesystems, mounts = tmp_path / "filesystems", tmp_path / "mounts"
    filesystems.write_text("nodev\toverlay\n\text4\n")
    mounts.write_text("proc /proc proc rw 0 0\n")

    def find(searched: str, uid: int = 0) -> tuple[OciProgram | None, str]:
        return find_runtime(
            searched=searched, uid=uid, mounts=str(mounts), filesystems=str(filesystems)
        )

    both, old = tools(tmp_path / "both", "crun", "runc"), tools(tmp_path / "old", "runc")
    assert find(both) == (OciProgram(os.path.join(both, "crun"), True), "")
    assert find(old) == (OciProgram(os.path.join(old, "runc"), False, guarded=(CGROUPS,)), "")
    mounts.write_text(f"cgroup2 {HYBRID} cgroup2 rw 0 0\n")
    assert find(both)[0] == OciProgram(os.path.join(both, "crun"), True, (HYBRID,))
    assert find(tools(tmp_path / "none"))[1] == (
        "containers with an image need an OCI runtime: crun or runc"
    )
    assert find(both, uid=7)[0] == OciProgram(
        os.path.join(both, "crun"), True, (CGROUPS,), is_rootless=True
    )
    assert find(old, uid=7)[1] == "without root (this agent runs as uid 7) containers need crun"
    filesystems.write_text("\text4\n")
    assert find(both)[1].startswith("containers with an image need overlayfs")
