"""`tepui image` against a cluster of two agents and the registry that everybody runs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tepui.agent.containers.images.image import ImageConfig
from tepui.agent.containers.images.pushing import RootDirectory
from tepui.agent.containers.oci.finding import find_runtime
from tepui.cli import image_push
from tepui.cli.image_nodes import (
    Done,
    Node,
    image_rows,
    nodes_of,
    shown_nodes,
    shown_size,
)
from tepui.cli.image_progress import LineProgress, NoProgress, progress_for
from tepui.cli.image_push import config_of, default_config, source_of
from tepui.cli.listing import Agent
from tepui.cli.listing import Cluster as Listed
from tepui.cli.main import run
from tepui.sdk.images import Image
from tepui.wire import mesos
from tests.agent.containers.images.made import (
    Made,
    file,
    layout_files,
    saved_files,
    tar_of,
    write_archive,
    write_files,
)
from tests.agent.containers.images.test_docker_registry import registry
from tests.cli.up_process import TEPUI, finished, read_until
from tests.real.cluster import Cluster

BUSYBOX = shutil.which("busybox")
_, LACKS_RUNTIME = find_runtime()

real = [
    pytest.mark.real,
    pytest.mark.skipif(
        shutil.which("docker-registry") is None, reason="docker-registry is not installed"
    ),
    pytest.mark.skipif(os.geteuid() != 0, reason="images are unpacked by root"),
]


class Place:
    """A cluster of two agents, and a registry that can be ended."""

    def __init__(
        self, cluster: Cluster, capfd: pytest.CaptureFixture[str], registry: ExitStack, host: str
    ) -> None:
        self.cluster = cluster
        self.host = host  # of the registry
        self._capfd = capfd
        self._registry = registry

    def end_registry(self) -> None:
        self._registry.close()

    def image(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, stdout and stderr of `tepui image`."""
        self._capfd.readouterr()
        code = run(["image", *arguments])
        return code, *self._capfd.readouterr()

    def rows(self, *arguments: str) -> list[dict[str, Any]]:
        code, out, err = self.image(*arguments, "--json")
        assert code == 0, err
        found: list[dict[str, Any]] = json.loads(out)
        return found

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """`tepui` as a process."""
        return subprocess.Popen(
            [*TEPUI, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )


@pytest.fixture(scope="module")
def two_agents(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("images"), agents=2) as cluster:
        yield cluster


@pytest.fixture
def place(
    two_agents: Cluster,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Place]:
    """The agents have no images at first, and none afterwards."""
    monkeypatch.setenv("TEPUI_MASTER", two_agents.master_address)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "none"))
    (tmp_path / "registry").mkdir()
    with ExitStack() as ends:
        found = Place(two_agents, capfd, ends, ends.enter_context(registry(tmp_path / "registry")))
        yield found
    assert found.image("prune")[0] == 0


def root_directory(directory: Path) -> Path:
    """A root file system with a shell."""
    assert BUSYBOX is not None
    (directory / "bin").mkdir(parents=True)
    shutil.copy2(BUSYBOX, directory / "bin/busybox")
    for name in ("sh", "echo", "sleep"):
        (directory / "bin" / name).symlink_to("busybox")
    (directory / "etc").mkdir()
    (directory / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\n")
    return directory


@pytest.mark.skipif(bool(LACKS_RUNTIME), reason=f"containers cannot be run: {LACKS_RUNTIME}")
@pytest.mark.skipif(BUSYBOX is None, reason="busybox is not installed")
class TestWithContainers:
    pytestmark = real

    def test_a_directory_is_pushed_pulled_everywhere_and_runs_without_the_registry(
        self, place: Place, tmp_path: Path
    ) -> None:
        name = f"{place.host}/tools/app:1"
        options = ["--entrypoint", "/bin/sh -c", "--cmd", "'echo it is $WHAT; pwd'"]
        options += ["--env", "WHAT=here", "--workdir", "/etc", "--user", "root"]
        root = str(root_directory(tmp_path / "root"))
        code, out, err = place.image("push", root, name, *options)
        assert (code, err) == (0, "")
        digest = out.strip().removeprefix(f"pushed {name}@")
        assert digest.startswith("sha256:")

        pulled = place.rows("pull", name)
        assert [(row["state"], row["digest"]) for row in pulled] == [("pulled", digest)] * 2
        (row,) = place.rows("ls")
        assert (row["name"], row["digest"], row["containers"]) == (name, digest, 0)
        addresses = [agent.address for agent in place.cluster.agents]
        assert sorted(row["nodes"]) == sorted(addresses)

        place.end_registry()
        job = ["--cpus=3", "--instances=2", "--image", name]
        code, out, err = finished(place.start("run", *job))
        assert (code, out) == (0, "it is here\n/etc\n" * 2), err

        # --cpus 3 of 4: one on each machine
        lines = "echo begun; exec sleep 600"
        running = [place.start("run", "--cpus=3", "--image", name, lines) for _ in range(2)]
        try:
            for one in running:
                read_until(one, b"begun\n")
            assert [row["containers"] for row in place.rows("ls")] == [2]
            code, out, err = place.image("rm", name)
            assert (code, out) == (1, "")
            assert err.count("lives on it") == 2
            assert place.rows("prune") == []
        finally:
            for one in running:
                one.terminate()
            for one in running:
                finished(one)

        def is_unused() -> bool:
            return all(row["containers"] == 0 for row in place.rows("ls"))

        place.cluster.wait_until(is_unused, "no container holds the image")
        assert place.rows("prune", "--keep", name) == []
        code, out, err = place.image("prune")
        assert (code, err) == (0, "")
        assert out.count(name) == 2
        assert place.image("ls") == (0, "", "no images\n")


class TestWithArchives:
    pytestmark = real

    def test_images_are_listed_and_removed_where_they_are(
        self, place: Place, tmp_path: Path
    ) -> None:
        first, second = (agent.address for agent in place.cluster.agents)
        made = Made(tar_of(file("a")), config={"Cmd": ["sh"]})
        archive = str(write_archive(saved_files({"app:1": made}), tmp_path / "app.tar"))
        layout = str(write_files(layout_files({"": made}), tmp_path / "layout"))
        assert place.image("push", archive, f"{place.host}/app")[0] == 0
        pushed = json.loads(place.image("push", layout, f"{place.host}/app", "--json")[1])
        assert pushed == {"name": f"{place.host}/app", "digest": made.digest}

        code, out, err = place.image("pull", f"{place.host}/app", "--node", second)
        assert (code, err) == (0, "")
        assert out.split()[:6] == ["NODE", "STATE", "DIGEST", "SIZE", "TIME", "MESSAGE"]
        assert out.split()[6:9] == [second, "pulled", made.digest]
        code, out, _ = place.image("ls")
        assert out.splitlines()[1].endswith(f"1 of 2: {second}")
        assert place.image("ls", "--node", first) == (0, "", "no images\n")

        # The name means something else by now.
        newer = Made(tar_of(file("b")))
        newer_layout = str(write_files(layout_files({"": newer}), tmp_path / "newer"))
        assert place.image("push", newer_layout, f"{place.host}/app")[0] == 0
        place.rows("pull", f"{place.host}/app", "--cached")
        assert len(place.rows("ls")) == 2
        place.rows("pull", f"{place.host}/app")
        assert [row["digest"] for row in place.rows("ls")] == [newer.digest]

        code, out, _ = place.image("rm", f"{place.host}/app", "--node", first)
        assert (code, out) == (0, f"removed {place.host}/app from {first}\n")
        (row,) = place.rows("rm", f"{place.host}/app")
        assert row == {"name": f"{place.host}/app", "node": second, "address": second}
        code, out, err = place.image("rm", f"{place.host}/app")
        assert (code, out) == (1, "")
        assert err == f"tepui: no machine has an image '{place.host}/app'\n"

    def test_what_fails_is_told_with_the_machine(self, place: Place) -> None:
        second = place.cluster.agents[1].address
        code, out, err = place.image("pull", f"{place.host}/none:1")
        assert (code, err) == (1, "")
        assert out.count("failed") == 2
        assert out.count("has no such thing") == 2
        code, out, _ = place.image("pull", "UPPER CASE")
        assert code == 1
        assert "is not a repository" in out
        assert "no node '127.0.0.9:1'" in place.image("ls", "--node", "127.0.0.9:1")[2]

        place.cluster.agents[1].kill()
        code, out, err = place.image("ls")
        assert (code, out) == (1, "")
        assert f"tepui image: {second}: " in err
        place.cluster.agents[1].start()
        place.cluster.wait_for_agents(2)


def agent(hostname: str, port: int) -> Agent:
    info = mesos.AgentInfo(hostname=hostname, port=port, id=mesos.AgentID(f"m-S{port}"))
    return Agent(agent_info=info, active=True, version="1", pid=f"slave(1)@10.0.0.1:{port}")


def test_machines_are_meant_by_hostname_address_or_id() -> None:
    agents = (agent("a", 1), agent("b", 2), agent("b", 3))
    cluster = Listed(agents, (), (), (), ())

    def meant(*given: str) -> list[str]:
        return [node.label for node in nodes_of(cluster, given)]

    assert meant() == ["10.0.0.1:2", "10.0.0.1:3", "a"]
    assert meant("a") == ["a"]
    assert meant("b") == ["10.0.0.1:2", "10.0.0.1:3"]
    assert meant("10.0.0.1:3", "S3", "m-S1") == ["10.0.0.1:3", "a"]
    with pytest.raises(Exception, match="no node 'c'"):
        meant("c")


def test_a_name_with_two_meanings_is_listed_twice() -> None:
    def image(digest: str, *containers: str) -> Image:
        return Image(
            name="a", digest=digest, size_bytes=1, layers=1, used_at_s=0, containers=containers
        )

    done: list[Done[tuple[Image, ...]]] = [
        Done(Node("x", "x:1"), (image("1", "c", "d"),)),
        Done(Node("y", "y:1"), (image("2"),)),
        Done(Node("z", "z:1"), (image("1", "e"),)),
        Done(Node("w", "w:1"), None, "away"),
    ]
    rows = image_rows(done)
    assert [(row.digest, row.nodes, row.containers) for row in rows] == [
        ("1", ("x", "z"), 3),
        ("2", ("y",), 0),
    ]


def test_sizes_and_machines_are_short() -> None:
    assert [shown_size(size) for size in (0, 1536, 5 << 20, 3 << 29)] == [
        "0.0K", "1.5K", "5.0M", "1.5G",
    ]  # fmt: skip
    assert shown_nodes(["a", "b"], 2) == "2 of 2"
    assert shown_nodes(["a", "b", "c"], 4) == "3 of 4: a, b, c"
    assert shown_nodes(["a", "b", "c", "d"], 5) == "4 of 5: a, b, c, ..."


def test_a_directory_becomes_an_image_and_a_layout_is_one(tmp_path: Path) -> None:
    config = config_of("/bin/app -x", "'a b' c", ("A=1", "B="), "/srv", "ann:staff")
    assert config == ImageConfig(
        entrypoint=("/bin/app", "-x"),
        cmd=("a b", "c"),
        environment=("A=1", "B="),
        directory="/srv",
        user="ann:staff",
    )
    assert source_of(str(tmp_path), config) == RootDirectory(tmp_path, config)
    archive = f"{tmp_path}/all.tar:app:1"
    assert source_of(archive, ImageConfig()) == archive
    with pytest.raises(Exception, match="has a configuration of its own"):
        source_of(archive, config)
    (tmp_path / "oci-layout").touch()
    assert source_of(str(tmp_path), ImageConfig()) == str(tmp_path)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--env", "A"), "--env 'A': expected NAME=value"),
        (("--workdir", "srv"), "--workdir 'srv': expected an absolute path"),
        (("--cmd", "'a"), "--cmd ''a': No closing quotation"),
        (("--config", "/no/such"), "does not exist"),
        ((), "there is no '/no/such/image'"),
    ],
)
def test_what_cannot_be_pushed_is_refused(
    options: tuple[str, ...], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    code = run(["image", "push", "/no/such/image", "127.0.0.1:1/app", *options])
    assert code == (2 if options else 1)
    assert said in capfd.readouterr().err


def test_the_config_of_docker_is_used_if_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DOCKER_CONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_config() is None
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker/config.json").write_text("{}")
    assert default_config() == str(tmp_path / ".docker/config.json")
    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setenv(image_push.CONFIG_VARIABLE, str(tmp_path))
    assert default_config() == str(tmp_path / "config.json")


def test_progress_is_for_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert isinstance(progress_for(quiet=True), NoProgress)
    shown = progress_for(quiet=False)
    assert isinstance(shown, LineProgress)
    with shown:
        shown.tell("a", "waiting")
        shown.tell("a", "1 of [2] MB")
        shown.done("b", "pulled")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False)
    assert type(progress_for(quiet=False)) is NoProgress
