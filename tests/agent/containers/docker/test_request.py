"""What Docker Engine is asked for a spec, and what flags of `docker run` make of it."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest

from tepui.agent.containers.docker.answers import wait_status_of
from tepui.agent.containers.docker.body import builtins_of
from tepui.agent.containers.docker.credentials import credentials_for
from tepui.agent.containers.docker.flags import FLAGS, REFUSED
from tepui.agent.containers.docker.request import Request, request_of
from tepui.agent.containers.docker.settings import DockerSettings
from tepui.agent.containers.docker.streams import split_name
from tepui.agent.containers.spec import ContainerSpec, DockerOptions, Mount, Propagation
from tepui.base.errors import HostError

SETTINGS = DockerSettings(agent="a1", state_directory="/state")


def spec_of(
    options: DockerOptions,
    *,
    argv: tuple[str, ...] = ("sh", "-c", "run"),
    mem_bytes: int = 0,
    mem_soft_bytes: int = 0,
    cpus_milli: int = 0,
    cpus_limit_milli: int = 0,
) -> ContainerSpec:
    return ContainerSpec(
        container_id="c1",
        program="/bin/sh",
        argv=argv,
        environment={"A": "b"},
        directory="/sandbox",
        mem_bytes=mem_bytes,
        mem_soft_bytes=mem_soft_bytes,
        cpus_milli=cpus_milli,
        cpus_limit_milli=cpus_limit_milli,
        rlimits=(("RLMT_NOFILE", 10, None),),
        docker=options,
    )


def asked(*parameters: tuple[str, str], network: str = "host") -> Request:
    options = DockerOptions(image="i", network=network, parameters=parameters)
    return request_of(spec_of(options), SETTINGS)


def test_plain_container_is_asked_for_whole() -> None:
    spec = spec_of(
        DockerOptions(image="i"),
        mem_bytes=64 << 20,
        mem_soft_bytes=40 << 20,
        cpus_milli=1500,
        cpus_limit_milli=2000,
    )
    assert builtins_of(request_of(spec, SETTINGS).body) == {
        "Image": "i",
        "Entrypoint": ["/bin/sh"],
        "Cmd": ["-c", "run"],
        "Env": ["A=b", "MESOS_SANDBOX=/mnt/mesos/sandbox", "MESOS_CONTAINER_NAME=mesos-c1"],
        "Labels": {"tepui.agent": "a1", "tepui.container": "c1"},
        "HostConfig": {
            "NetworkMode": "host",
            "LogConfig": {
                "Type": "json-file",
                "Config": {"max-size": "67108864", "max-file": "3"},
            },
            "Mounts": [{"Type": "bind", "Target": "/mnt/mesos/sandbox", "Source": "/sandbox"}],
            "CpuShares": 1536,
            "CpuQuota": 200000,
            "CpuPeriod": 100000,
            "Memory": 64 << 20,
            "MemorySwap": 64 << 20,
            "MemoryReservation": 40 << 20,
            "Ulimits": [{"Name": "nofile", "Soft": 10, "Hard": -1}],
        },
    }


def test_images_own_command_is_left_to_it_and_arguments_replace_its_own() -> None:
    options = DockerOptions(image="i", has_own_command=False)
    without = request_of(spec_of(options, argv=()), SETTINGS).body
    assert (without.entrypoint, without.cmd) == (None, None)
    with_some = request_of(spec_of(options, argv=("--x", "y")), SETTINGS).body
    assert (with_some.entrypoint, with_some.cmd) == (None, ["--x", "y"])


def test_ports_volumes_and_mounts_are_asked_for() -> None:
    options = DockerOptions(
        image="i",
        network="bridge",
        port_mappings=((8080, 80, "tcp"), (53, 53, "UDP")),
        volumes=(("data", "/data", True),),
        volume_driver="rexray",
        mounts=(
            Mount(destination="/shared", source="/h:x", propagation=Propagation.BOTH_WAYS),
            Mount(destination="/t", source=None, read_only=True, options=("size=1k",)),
        ),
    )
    body = request_of(spec_of(options), SETTINGS).body
    assert body.exposed_ports == {"80/tcp": {}, "53/udp": {}}
    host = builtins_of(body)["HostConfig"]
    assert isinstance(host, dict)
    assert host["PortBindings"] == {
        "80/tcp": [{"HostIp": "", "HostPort": "8080"}],
        "53/udp": [{"HostIp": "", "HostPort": "53"}],
    }
    assert (host["Binds"], host["VolumeDriver"]) == (["data:/data:ro"], "rexray")
    assert host["Mounts"][1:] == [
        {
            "Type": "bind",
            "Target": "/shared",
            "Source": "/h:x",
            "BindOptions": {"Propagation": "rshared"},
        }
    ]
    assert host["Tmpfs"] == {"/t": "size=1k,ro"}


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            DockerOptions(image="i", port_mappings=((1, 2, "tcp"),)),
            "Port mappings are only supported for bridge and user-defined networks",
        ),
        (DockerOptions(image="i", hostname="h"), "set the hostname 'h': a container in the host's"),
        (
            DockerOptions(image="i", volumes=(("a:b", "/c", False),)),
            "mount the volume 'a:b' at '/c': there is a ':' in it",
        ),
        (
            DockerOptions(
                image="i", mounts=(Mount(destination="/c", source="/h", options=("x",)),)
            ),
            "mount '/h': Docker Engine knows no option 'x'",
        ),
    ],
)
def test_what_cannot_be_is_refused(options: DockerOptions, text: str) -> None:
    with pytest.raises(HostError, match=re.escape(text)):
        request_of(spec_of(options), SETTINGS)


# flag, value, where it is in the body, what is there
SET = [
    ("add-host", "db:10.0.0.1", "ExtraHosts", ["db:10.0.0.1"]),
    ("blkio-weight", "300", "BlkioWeight", 300),
    ("blkio-weight-device", "/dev/a:3", "BlkioWeightDevice", [{"Path": "/dev/a", "Weight": 3}]),
    ("cap-add", "NET_ADMIN", "CapAdd", ["NET_ADMIN"]),
    ("cap-drop", "ALL", "CapDrop", ["ALL"]),
    ("cpus", "1.5", "NanoCpus", 1_500_000_000),
    ("cpuset-cpus", "0-1", "CpusetCpus", "0-1"),
    (
        "device",
        "/dev/fuse:/dev/f:rw",
        "Devices",
        [{"PathOnHost": "/dev/fuse", "PathInContainer": "/dev/f", "CgroupPermissions": "rw"}],
    ),
    (
        "device",
        "/dev/fuse:r",
        "Devices",
        [{"PathOnHost": "/dev/fuse", "PathInContainer": "/dev/fuse", "CgroupPermissions": "r"}],
    ),
    ("device-read-bps", "/dev/a:1m", "BlkioDeviceReadBps", [{"Path": "/dev/a", "Rate": 1 << 20}]),
    ("device-write-iops", "/dev/a:9", "BlkioDeviceWriteIOps", [{"Path": "/dev/a", "Rate": 9}]),
    ("dns", "10.0.0.2", "Dns", ["10.0.0.2"]),
    ("dns-opt", "ndots:1", "DnsOptions", ["ndots:1"]),
    ("gpus", "all", "DeviceRequests", None),
    ("init", "true", "Init", True),
    ("ipc", "host", "IpcMode", "host"),
    ("memory", "1.5g", "Memory", 3 << 29),
    ("memory-swap", "-1", "MemorySwap", -1),
    ("memory-swappiness", "0", "MemorySwappiness", 0),
    ("net", "none", "NetworkMode", "none"),
    ("oom-score-adj", "-5", "OomScoreAdj", -5),
    ("pid", "host", "PidMode", "host"),
    ("pids-limit", "99", "PidsLimit", 99),
    ("privileged", "true", "Privileged", True),
    ("read-only", "", "ReadonlyRootfs", True),
    ("security-opt", "seccomp:unconfined", "SecurityOpt", ["seccomp=unconfined"]),
    ("security-opt", "label=type:t", "SecurityOpt", ["label=type:t"]),
    ("shm-size", "64m", "ShmSize", 64 << 20),
    ("sysctl", "net.x=1", "Sysctls", {"net.x": "1"}),
    ("tmpfs", "/t:size=1k", "Tmpfs", {"/t": "size=1k"}),
    (
        "ulimit",
        "nofile=5:9",
        "Ulimits",
        [{"Name": "nofile", "Soft": 5, "Hard": 9}],
    ),
    ("uts", "host", "UTSMode", "host"),
    ("volume", "/a:/b:ro", "Binds", ["/a:/b:ro"]),
    ("log-driver", "syslog", "LogConfig", {"Type": "syslog", "Config": {}}),
]


@pytest.mark.parametrize(("name", "value", "key", "wanted"), SET)
def test_parameter_is_in_the_request(name: str, value: str, key: str, wanted: object) -> None:
    host = builtins_of(asked((name, value)).body)["HostConfig"]
    assert isinstance(host, dict)
    assert key in host
    assert wanted is None or host[key] == wanted


def test_parameters_of_the_container_itself_are_in_the_request() -> None:
    request = asked(
        ("env", "A=c=d"),
        ("label", "x=y"),
        ("entrypoint", "/run"),
        ("user", "nobody"),
        ("workdir", "/w"),
        ("stop-signal", "INT"),
        ("health-cmd", "true"),
        ("health-interval", "1m30s"),
        ("publish", "127.0.0.1:80-81:90-91/udp"),
        ("expose", "7"),
        ("volume", "/anonymous"),
        ("ip", "10.0.0.9"),
        ("network-alias", "web"),
        ("platform", "linux/arm64"),
        ("pull", "always"),
        ("network", "own"),
        ("mount", "type=bind,src=/a,dst=/b,ro"),
    )
    body = builtins_of(request.body)
    assert (request.platform, request.pull) == ("linux/arm64", "always")
    assert request.body.env[-1] == "A=c=d"
    assert "A=b" not in request.body.env
    assert request.body.labels["x"] == "y"
    assert body["Entrypoint"] == ["/run"]
    assert (body["User"], body["WorkingDir"], body["StopSignal"]) == ("nobody", "/w", "INT")
    assert body["Healthcheck"] == {"Test": ["CMD-SHELL", "true"], "Interval": 90_000_000_000}
    assert body["ExposedPorts"] == {"90/udp": {}, "91/udp": {}, "7/tcp": {}}
    assert body["Volumes"] == {"/anonymous": {}}
    assert body["NetworkingConfig"] == {
        "EndpointsConfig": {"own": {"IPAMConfig": {"IPv4Address": "10.0.0.9"}, "Aliases": ["web"]}}
    }
    assert request.body.host_config.mounts[1].read_only


BAD = [
    ("cpus", "many", "its value 'many' is no number of cpus"),
    ("memory", "12q", "its value '12q' is no size such as 64m"),
    ("privileged", "maybe", "is neither true nor false"),
    ("ulimit", "nofile", "is not of the form name=soft[:hard]"),
    ("env", "HOME", "is not of the form name=value"),
    ("publish", "70000:80", "has a range that is no range of at most 1000 ports"),
    ("publish", "80-82:90-91", "has ranges of different lengths"),
    ("device", "fuse", "is not of the form /dev/on-host"),
    ("label", "tepui.agent=other", "is a label that is set already"),
    ("mount", "type=npipe,target=/x", "has a type other than"),
    ("mount", "target=/x,odd=1", "has the unknown word 'odd'"),
    ("health-interval", "soon", "is no duration such as 1m30s"),
    ("security-opt", "seccomp=/no/such", "names a profile that cannot be read"),
    ("restart", "always", "whether a task is started again is the framework's to say"),
    ("rm", "true", "the agent removes the container"),
    ("name", "mine", "the agent finds its containers by their names"),
    ("telepathy", "on", "`docker run` has no such flag that is known here"),
]


@pytest.mark.parametrize(("name", "value", "text"), BAD)
def test_bad_parameter_is_refused_by_its_name(name: str, value: str, text: str) -> None:
    with pytest.raises(HostError, match=re.escape(f"use the Docker parameter '{name}': ")) as told:
        asked((name, value))
    assert text in str(told.value)


def test_too_many_parameters_are_refused() -> None:
    asked(*(("label", f"l{number}") for number in range(1000)))
    with pytest.raises(HostError, match="1001 of them: there may be 1000"):
        asked(*(("label", f"l{number}") for number in range(1001)))


def test_no_flag_is_both_known_and_refused() -> None:
    assert not FLAGS.keys() & REFUSED.keys()


@pytest.mark.parametrize(
    ("exit_code", "wait_status"),
    [
        (0, 0),
        (3, 3 << 8),
        (128, 128 << 8),
        (137, signal.SIGKILL),
        (143, signal.SIGTERM),
        (139, signal.SIGSEGV),
        (145, 145 << 8),  # SIGCHLD ends nobody
        (255, 255 << 8),
    ],
)
def test_engines_exit_codes_are_wait_statuses(exit_code: int, wait_status: int) -> None:
    assert wait_status_of(exit_code) == wait_status


@pytest.mark.parametrize(
    ("image", "split"),
    [
        ("busybox", ("busybox", "latest")),
        ("host:5000/a/b", ("host:5000/a/b", "latest")),
        ("host:5000/a/b:1", ("host:5000/a/b", "1")),
        ("a@sha256:12", ("a", "sha256:12")),
    ],
)
def test_name_of_an_image_is_split(image: str, split: tuple[str, str]) -> None:
    assert split_name(image) == split


AUTHS = '{"auths":{"host:5000":{"auth":"dXNlcjpwYXNz"}}}'


def test_credentials_are_those_of_the_images_registry(tmp_path: Path) -> None:
    assert credentials_for("host:5000/a:1", AUTHS, str(tmp_path))
    assert credentials_for("other:5000/a:1", AUTHS, str(tmp_path)) == ""
    assert credentials_for("busybox", "", str(tmp_path)) == ""


def test_credentials_that_the_task_brought_go_first_and_name_no_programs(tmp_path: Path) -> None:
    (tmp_path / ".dockercfg").write_text('{"host:5000":{"auth":"bWU6bWluZQ=="}}')
    own = credentials_for("host:5000/a:1", AUTHS, str(tmp_path / "none"))
    brought = credentials_for("host:5000/a:1", AUTHS, str(tmp_path))
    assert brought not in ("", own)
    (tmp_path / ".dockercfg").write_text('{"credHelpers":{"host:5000":"evil"}}')
    assert credentials_for("host:5000/a:1", AUTHS, str(tmp_path)) == own


def test_bad_credentials_are_told() -> None:
    with pytest.raises(HostError, match="read the credentials of 'the agent's'"):
        credentials_for("host:5000/a:1", "{", "/none")
