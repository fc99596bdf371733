"""An agent that is not root: it runs processes, and containers with images where the machine lets it."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tepui.cli.ports import free_range
from tests.agent.containers.images.made import (
    Made,
    device,
    directory,
    file,
    saved_files,
    tar_of,
    write_archive,
)
from tests.cli.up_process import TEPUI, finished, read_until
from tests.real.container_images import (
    BUSYBOX,
    PATH,
    WORKER,
    Images,
    busybox_image,
    make_images,
)
from tests.real.ordinary_user import NOBODY, give_to_nobody, start_as_nobody

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user"),
    pytest.mark.skipif(BUSYBOX is None, reason="a static busybox is not installed"),
]


class Place:
    """A cluster of nobody's, and images that everybody may read."""

    def __init__(self, master: str, work_dir: Path, images: Images) -> None:
        self.master = master
        self.work_dir = work_dir
        self.images = images

    @property
    def log(self) -> str:
        return (self.work_dir / "agent-1.log").read_text()

    def ran(self, *words: str) -> tuple[int, str, str]:
        """Exit code, output and errors of `tepui run`."""
        return finished(start_as_nobody([*TEPUI, "run", "--master", self.master, *words]))

    def said(self, *words: str) -> str:
        """What a task wrote that went well."""
        code, out, err = self.ran(*words)
        assert code == 0, f"{out} {err} {self.log[-3000:]}"
        return out

    def contained(self, line: str, *words: str) -> str:
        """The same of one in a container."""
        if "without root this machine runs no containers" in self.log:
            pytest.skip(self.log)
        return self.said("--image", self.images.plain, *words, "--", "sh", "-c", line)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    top = tmp_path_factory.mktemp("nobody")
    images = make_images(top / "images", top)
    work_dir = top / "work"
    work_dir.mkdir()
    give_to_nobody(work_dir)
    port = free_range("127.0.0.1", 45_000, 2)
    up = start_as_nobody([*TEPUI, "up", f"--port={port}", f"--work-dir={work_dir}"])
    try:
        welcome = read_until(up, b"Ctrl-C").decode()
        yield Place(welcome.partition("http://")[2].split()[0], work_dir, images)
    finally:
        up.send_signal(signal.SIGINT)
        code, _, err = finished(up)
    assert (code, err) == (0, "ending the cluster\n")


def test_process_is_the_users_own(place: Place) -> None:
    assert place.said("id -u") == f"{NOBODY}\n"


def test_container_has_a_root_that_is_the_user_outside(place: Place) -> None:
    line = "id -u; cat /proc/self/uid_map; stat -c %u /bin; rm /etc/passwd; ls /etc; touch mine /mine; hostname"
    uid, mapping, owner, *rest = place.contained(line).splitlines()
    assert (uid, mapping.split(), owner) == ("0", ["0", "0", "1"], "0")
    assert "passwd" not in rest


def test_user_of_the_image_is_the_containers_only_one(place: Place) -> None:
    said = place.said("--image", place.images.own, "--entrypoint", "--", "words")
    assert f"user: {WORKER}:{WORKER} /home/worker" in said
    assert "own: of the image" in said


def test_layers_of_a_distribution_are_as_they_should_be_and_can_be_removed(
    place: Place, tmp_path: Path
) -> None:
    base = (
        directory("etc"), file("etc/shadow", mode=0o640, uid=0, gid=42), directory("gone"),
        file("gone/file"), directory("closed", mode=0o500, uid=33), file("closed/file", uid=33),
        directory("hidden", mode=0), directory("opaque"), file("opaque/old"), device("dev-null", 1, 3),
        file("bin/setuid", mode=0o4755), file("hidden/deep", mode=0),
    )  # fmt: skip
    top = (file(".wh.gone"), file("opaque/.wh..wh..opq"), file("opaque/new"))
    image = Made(*busybox_image().tars, tar_of(*base), tar_of(*top), config={"Env": [PATH]})
    archive = tmp_path / "odd.tar"
    write_archive(saved_files({"odd:1": image}), archive)
    for path in (tmp_path, *tmp_path.parents[:2]):
        path.chmod(path.stat().st_mode | 0o055)
    line = (
        "cat /etc/shadow; echo; ls /closed /opaque /hidden; test ! -e /gone && echo gone;"
        " echo changed >/closed/file; rm -r /hidden && mkdir /hidden && chmod 0 /hidden"
    )
    said = place.said("--image", str(archive), "--", "sh", "-c", line)
    assert said.split() == [
        "content", "/closed:", "file", "/hidden:", "deep", "/opaque:", "new", "gone",
    ]  # fmt: skip
    assert os.listdir(place.work_dir / "agent-1/containers") == []
    done = finished(start_as_nobody([*TEPUI, "image", "prune", "--master", place.master]))
    assert done[0] == 0, done
    assert os.listdir(place.work_dir / "agent-1/images/layers") == []


def test_volume_and_sandbox_are_the_users(place: Place) -> None:
    shared = place.work_dir / "shared"
    shared.mkdir(exist_ok=True)
    os.chown(shared, NOBODY, NOBODY)
    assert place.contained("echo text >/data/file; pwd", "--volume", f"{shared}:/data") == (
        "/mnt/mesos/sandbox\n"
    )
    assert (shared / "file").stat().st_uid == NOBODY


def test_what_needs_root_is_refused_in_words(place: Place) -> None:
    bridge = ("--image", place.images.plain, "--network", "mesos-bridge", "--", "true")
    code, _, err = place.ran(*bridge)
    assert code != 0
    assert "networks need root, and this agent has none" in err
    assert "containers_without_root lacks=limits, networks" in place.log
    assert "the agent does not run as root" in place.log


def test_node_tells_what_it_lacks_and_why(place: Place) -> None:
    words = ["node", "ls", "--master", place.master, "--json"]
    [node] = json.loads(finished(start_as_nobody([*TEPUI, *words]))[1])
    words = ["node", "show", node["id"], "--master", place.master]
    code, out, _ = finished(start_as_nobody([*TEPUI, *words]))
    assert code == 0
    lacks = {name: why for name, _, why in (line.partition("   ") for line in out.splitlines())}
    assert lacks["limits"].endswith("(the agent does not run as root)")
    if "images" in lacks:
        pytest.skip(lacks["images"])
    assert lacks["networks"].strip().startswith("networks need root")
    assert lacks["users"].strip().startswith("more than one user in a container needs root")


def test_session_and_terminal_are_in_the_container(place: Place) -> None:
    name = "holds"
    words = ["run", "--master", place.master, "--name", name, "--image", place.images.plain]
    task = start_as_nobody([*TEPUI, *words, "--", "sh", "-c", "touch /mark; echo up; sleep 1000"])
    try:
        read_until(task, b"up")
        ids = finished(start_as_nobody([*TEPUI, "task", "ls", "--master", place.master, "--json"]))
        [found] = [one for one in json.loads(ids[1]) if one["id"].startswith(name)]
        inside = ["task", "exec", "--master", place.master, found["id"], "--"]
        line = "id -u; ls /mark; readlink /proc/self/ns/user; echo out >/dev/stdout"
        code, out, err = finished(start_as_nobody([*TEPUI, *inside, "sh", "-c", line]))
        assert (code, err) == (0, "")
        uid, mark, space, said = out.split()
        assert (uid, mark, said) == ("0", "/mark", "out")
        assert space != os.readlink("/proc/self/ns/user")
    finally:
        task.send_signal(signal.SIGINT)
        finished(task)


def test_nothing_is_left_of_containers(place: Place) -> None:
    place.contained("true")
    agent = place.work_dir / "agent-1"
    assert os.listdir(agent / "containers") == []
    assert os.listdir(agent / "grounds") == []
    assert str(agent) not in Path("/proc/self/mounts").read_text()
