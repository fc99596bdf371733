"""Images that would harm the machine: what they try stays in them, or is refused by name; nothing is left."""

from __future__ import annotations

import asyncio
import contextlib
import tarfile
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import pytest

from tepui.wire import mesos
from tepui.wire.mesos import TaskState
from tests.agent.containers.images.made import (
    Member,
    device,
    directory,
    file,
    hard_link,
    saved_files,
    symlink,
    write_archive,
)
from tests.real.container_images import busybox_image
from tests.real.container_lab import Lab, Scheduler
from tests.real.neighbour import Neighbour

pytestmark = pytest.mark.real

Reason = mesos.TaskStatus.Reason
EVIL = b"evil:x:0:0::/:/bin/sh\n"
OUT = "../../../../../../../.."  # from wherever a layer is unpacked
DEEP = "d/" * 1100  # deeper than what goes down by recursion can take


def hostile(place: Path, name: str, members: Sequence[Member]) -> str:
    """An archive of busybox under a layer with these members."""
    archive = place / f"{name}.tar"
    return str(write_archive(saved_files({f"{name}:1": busybox_image(None, *members)}), archive))


def witness(place: Path) -> Path:
    """A file of the host that nobody may change."""
    found = place / "witness"
    found.mkdir()
    (found / "file").write_text("of the host\n")
    return found


@pytest.mark.parametrize(
    ("name", "members", "rule"),
    [
        ("up", [file(f"{OUT}/etc/tepui-evil", EVIL)], "leads out of the image"),
        ("link", [symlink("out", "WITNESS"), file("out/evil", EVIL)], "leads through the link"),
        ("twice", [symlink("out", "WITNESS/file"), file("out", EVIL)], "is there twice"),
        ("hard", [hard_link("passwd", f"{OUT}/etc/passwd")], "leads out of the image"),
        ("absolute", [hard_link("host", "WITNESS/file")], "Cannot hard link"),
        ("white", [symlink("out", "WITNESS"), file("out/.wh.file", b"")], "leads through the link"),
        ("long", [file("n" * 300, EVIL)], "File name too long"),
        ("deeper", [directory("d/" * 2100)], "is no path of at most 4096 bytes"),
    ],
)
def test_a_layer_that_would_leave_its_image_is_refused_and_named(
    lab: Lab, tmp_path: Path, name: str, members: list[Member], rule: str
) -> None:
    kept = witness(tmp_path)
    for member, _ in members:
        member.linkname = member.linkname.replace("WITNESS", str(kept))
    archive = hostile(tmp_path, name, members)

    async def story(scheduler: Scheduler) -> None:
        async with Neighbour(scheduler, lab):
            before = files_of_images(lab)
            end = await scheduler.ran(lab.task("t", "true", archive))
            assert end.state is TaskState.TASK_FAILED
            assert end.reason is Reason.REASON_CONTAINER_LAUNCH_FAILED, end
            assert rule in (end.message or ""), end.message
            assert archive in (end.message or ""), end.message
            await asyncio.to_thread(
                lab.cluster.wait_until,
                lambda: not files_of_images(lab) - before,
                "nothing of it is kept",
            )

    lab.play(story)
    assert [path.name for path in kept.iterdir()] == ["file"]
    assert (kept / "file").read_text() == "of the host\n"
    assert not Path("/etc/tepui-evil").exists()


def test_what_a_layer_may_have_stays_within_its_image(lab: Lab, tmp_path: Path) -> None:
    """Absolute names and links are the image's, devices are left out, and no depth is too deep."""
    kept = witness(tmp_path)
    archive = hostile(
        tmp_path,
        "within",
        [
            file("/etc/passwd", b"root:x:0:0::/root:/bin/sh\n"),
            symlink("absolute", str(kept / "file")),
            symlink("up", f"{OUT}{kept}/file"),
            directory("made"),
            device("made/disk", 8, 0, tarfile.BLKTYPE),
            device("made/memory", 1, 1),
            file("made/suid", b"#!/bin/sh\n", mode=0o4755),
            directory(DEEP),
        ],
    )
    line = (
        "cat /etc/passwd; cat /absolute /up; echo evil >/absolute; echo evil >/up; ls /made;"
        f" cd /{DEEP}; pwd | wc -c"
    )

    async def story(scheduler: Scheduler) -> None:
        async with Neighbour(scheduler, lab):
            await scheduler.ran(lab.task("t", line, archive))
            said = scheduler.output("t").splitlines()
            assert said == ["root:x:0:0::/root:/bin/sh", "suid", str(len(DEEP) + 1)]
            errors = scheduler.output("t", "stderr")
            assert errors.count("No such file or directory") == 2, errors
            assert errors.count("nonexistent directory") == 2, errors

    lab.play(story)
    assert (kept / "file").read_text() == "of the host\n"
    # Nobody could remove it by recursion, as those do who clear up after tests.
    lab.cluster.wait_until(lambda: removed(lab, archive), "the image is gone")


def removed(lab: Lab, archive: str) -> bool:
    """Remove the image, which its container may still live on."""
    url = f"http://{lab.cluster.agents[0].address}/images?name={quote(archive, safe='')}"
    with contextlib.suppress(urllib.error.HTTPError):
        urllib.request.urlopen(urllib.request.Request(url, method="DELETE")).close()
        return True
    return False


def test_what_a_container_made_of_any_depth_goes_with_it(lab: Lab) -> None:
    """Deeper than a path may be long; `check_clean` of the fixture sees whether the changes are gone."""
    line = (
        "cd /; i=0; while [ $i -lt 60 ]; do p=; j=0; while [ $j -lt 40 ]; do p=${p}deep/; j=$((j+1)); done;"
        ' mkdir -p "$p" && cd -P "$p" || exit 1; i=$((i+1)); done; echo made'
    )

    async def story(scheduler: Scheduler) -> None:
        end = await scheduler.ran(lab.task("t", line, lab.images.plain))
        assert scheduler.output("t") == "made\n", (end, scheduler.output("t", "stderr"))

    lab.play(story)


def files_of_images(lab: Lab) -> set[str]:
    """What the store has."""
    store = lab.work / "images"
    return {str(path) for part in ("tmp", "layers") for path in (store / part).iterdir()}
