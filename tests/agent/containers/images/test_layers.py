"""Unpacking layers: as they were made, in the overlay's form, and never outside of their directory."""

from __future__ import annotations

import os
import stat
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tepui.agent.containers.images import filtering, merged
from tepui.agent.containers.images.errors import Fault
from tepui.agent.containers.images.filtering import BLOCK, Filter
from tepui.agent.containers.images.layers import Budget, Stopped, Unpacked, settle, unpack
from tepui.agent.containers.images.streams import whole
from tests.agent.containers.images.made import (
    Member,
    device,
    digest,
    directory,
    file,
    hard_link,
    symlink,
    tar_of,
    zstd,
)
from tests.agent.containers.images.place import tree

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(os.geteuid() != 0, reason="whiteouts and owners of files need root"),
]


class Layers:
    """Layers of one test, one upon the other."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.below: list[Path] = []
        (root / "outside").mkdir()
        (root / "outside/kept").write_text("kept")

    def unpack(self, content: bytes, **limits: int) -> tuple[Path, Unpacked]:
        blob = self.root / "blob"
        blob.write_bytes(content)
        made = self.root / f"layer{len(self.below)}"
        made.mkdir()
        budget = Budget(limits.get("bytes_max", 10**9), limits.get("files_max", 10**6))
        done = unpack(
            whole(str(blob)),
            made,
            digest=digest(content),
            diff_id="",
            budget=budget,
            is_stopped=threading.Event(),
        )
        settle(made, done.contents, self.below)
        return made, done

    def add(self, *members: Member, form: int = tarfile.PAX_FORMAT) -> Path:
        made, _ = self.unpack(tar_of(*members, form=form))
        self.below.append(made)
        return made

    def refused(self, *members: Member) -> str:
        with pytest.raises(Fault) as failed:
            self.unpack(tar_of(*members))
        return failed.value.rule


@pytest.fixture
def layers(tmp_path: Path) -> Iterator[Layers]:
    made = Layers(tmp_path)
    before = set(os.listdir("/"))
    yield made
    assert tree(tmp_path / "outside") == {"kept": "kept"}
    assert set(os.listdir("/")) == before


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_files_are_as_they_were_made(layers: Layers) -> None:
    made = layers.add(
        directory("./"),
        directory("./bin", 0o755),
        file("./bin/su", b"su", mode=0o4755, uid=7, gid=8, mtime=1_000_000),
        hard_link("./bin/sudo", "./bin/su"),
        hard_link("bin/absolute", "/bin/su"),
        symlink("bin/sh", "/bin/su"),
        symlink("bin/far", "../../../../etc/shadow"),
        file("/etc/absolute", b"below the root"),
        file("x" * 150 + "/" + "y" * 120, b"long"),
        directory("tmp", 0o1777),
        device("null", 1, 3),
        file("a", pax_headers={"SCHILY.xattr.user.note": "kept"}),
    )
    su = made / "bin/su"
    assert (mode(su), su.stat().st_uid, su.stat().st_gid) == (0o4755, 7, 8)
    assert su.stat().st_mtime == 1_000_000
    assert (
        su.stat().st_ino
        == (made / "bin/sudo").stat().st_ino
        == (made / "bin/absolute").stat().st_ino
    )
    assert os.readlink(made / "bin/sh") == "/bin/su"
    assert os.readlink(made / "bin/far") == "../../../../etc/shadow"
    assert (made / "etc/absolute").read_text() == "below the root"
    assert (made / ("x" * 150) / ("y" * 120)).read_text() == "long"
    assert mode(made / "tmp") == 0o1777
    assert (made / "null").stat().st_rdev == os.makedev(1, 3)
    assert os.getxattr(made / "a", "user.note") == b"kept"


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_all_forms_of_tar_are_read(layers: Layers, form: int) -> None:
    name = "d" * 90 + "/" + "f" * 90
    made = layers.add(file(name, b"1"), file("last", b"2"), form=form)
    assert tree(made) == {"d" * 90: "/", name: "1", "last": "2"}


def test_capabilities_of_files_are_kept(layers: Layers) -> None:
    value = bytes.fromhex("0100000200200000000000000000000000000000")
    attribute = {"SCHILY.xattr.security.capability": value.decode("latin1")}
    made = layers.add(file("ping", pax_headers=attribute, uid=5))
    assert os.getxattr(made / "ping", "security.capability")[:5] == value[:5]


def test_whiteouts_become_what_overlays_understand(layers: Layers) -> None:
    layers.add(
        directory("d"), file("d/one"), file("d/two"), file("gone"), directory("new"), file("new/x")
    )
    top = layers.add(
        file("d/.wh.one", b""),
        file(".wh.gone", b""),
        file("opaque/.wh..wh..opq", b""),
        file("opaque/x", b"x"),
        file(".wh.new", b""),
        directory("new"),
        file("new/y"),
        file("d/.wh..wh.plnk", b""),
    )
    for name in ("d/one", "gone"):
        status = (top / name).lstat()
        assert stat.S_ISCHR(status.st_mode)
        assert status.st_rdev == 0
    for name in ("opaque", "new"):
        assert os.getxattr(top / name, "trusted.overlay.opaque") == b"y"
    assert sorted(os.listdir(top / "d")) == ["one"]
    assert merged.find(layers.below, "d/one") is None
    assert merged.find(layers.below, "d/two") is not None
    assert merged.find(layers.below, "new/x") is None


def test_whiteouts_of_the_base_hide_nothing(layers: Layers) -> None:
    made = layers.add(file(".wh.gone", b""), file("d/.wh..wh..opq", b""), file("d/x", b"x"))
    assert tree(made) == {"d": "/", "d/x": "x"}


def test_directories_in_between_look_as_they_do_below(layers: Layers) -> None:
    layers.add(directory("srv", 0o700, uid=3, gid=4), directory("srv/tmp", 0o1777))
    layers.add(directory("srv", 0o750, uid=5, gid=6))
    top = layers.add(file("srv/tmp/x"), file("other/y"))
    assert (mode(top / "srv"), (top / "srv").stat().st_uid) == (0o750, 5)
    assert mode(top / "srv/tmp") == 0o1777
    assert mode(top / "other") == 0o755
    assert mode(top) == 0o755


def test_devices_but_for_harmless_ones_are_left_out(layers: Layers) -> None:
    made = layers.add(
        device("disk", 8, 0, tarfile.BLKTYPE), device("mem", 1, 1), device("zero", 1, 5)
    )
    assert os.listdir(made) == ["zero"]


def test_attributes_that_mean_something_to_the_host_are_left_out(layers: Layers) -> None:
    attributes = {
        "SCHILY.xattr.trusted.overlay.redirect": "/etc",
        "SCHILY.xattr.trusted.overlay.metacopy": "",
        "SCHILY.xattr.security.selinux": "system_u:object_r:unlabeled_t:s0",
        "SCHILY.xattr.user.kept": "1",
    }
    made = layers.add(file("a", pax_headers=attributes))
    assert [name for name in os.listxattr(made / "a") if "selinux" not in name] == ["user.kept"]


def test_links_within_the_layer_are_followed_while_they_stay_inside(layers: Layers) -> None:
    made = layers.add(directory("usr/lib"), symlink("lib", "usr/lib"), file("lib/x", b"x"))
    assert (made / "usr/lib/x").read_text() == "x"


# What hostile archives try: paths by `..`, through links of all kinds, and links to what is outside.


@pytest.mark.parametrize(
    ("members", "rule"),
    [
        ([file("../outside/new")], "'../outside/new' leads out of the image"),
        ([file("a/../../outside/new")], "leads out of the image"),
        ([file("/../outside/new")], "leads out of the image"),
        ([directory("..", 0o777)], "leads out of the image"),
        ([hard_link("a", "../outside/kept")], "leads out of the image"),
        ([symlink("a", "../outside"), file("a/new")], "leads through the link 'a'"),
        ([symlink("a", "/"), file("a/new")], "leads through the link 'a'"),
        ([symlink("a", ".."), symlink("b", "a"), file("b/outside/new")], "OUTSIDE"),
        ([symlink("a", "../outside"), hard_link("b", "a/kept")], "links through the link 'a'"),
        ([symlink("a", "../outside"), directory("a/b/c")], "leads through the link 'a'"),
        ([symlink("a", "../outside"), file("a/.wh.kept", b"")], "leads through the link 'a'"),
        ([symlink("a", "b"), file("a/.wh..wh..opq", b"")], "leads through the link 'a'"),
        ([file(".wh.."), file(".wh...")], "is a whiteout of nothing"),
        ([file("a\0b", pax_headers={"path": "a\0b"})], "is no path"),
        ([hard_link("a", "/")], "is a link to the root"),
        ([directory("d/.wh.x")], "is a whiteout, and no file"),
        ([symlink("./", "/")], "the root is not a directory"),
        ([file("x", pax_headers={"path": "../../x"})], "leads out of the image"),
        ([hard_link("a", "/etc/passwd")], "Cannot hard link"),
    ],
)  # fmt: skip
def test_what_would_leave_the_layer_is_refused(
    layers: Layers, members: list[Member], rule: str
) -> None:
    told = layers.refused(*members)
    if rule != "OUTSIDE":
        assert rule in told


def test_a_link_that_takes_the_place_of_a_directory_leads_nowhere(layers: Layers) -> None:
    told = layers.refused(
        directory("a"), symlink("a", str(layers.root / "outside")), file("a/new", b"new")
    )
    assert "leads through the link 'a'" in told


@pytest.mark.parametrize(
    "second", [file("a"), directory("a"), symlink("a", "/"), hard_link("a", "b")]
)
def test_nothing_takes_the_place_of_a_link_that_points_away(layers: Layers, second: Member) -> None:
    link = symlink("a", str(layers.root / "outside/kept"))
    assert "'a' is there twice, first as a link" in layers.refused(file("b"), link, second)
    layers.below.append(layers.root)
    made, _ = layers.unpack(tar_of(link, link))
    assert os.listdir(made) == ["a"]


def test_a_file_or_directory_takes_the_place_of_a_link_that_stays(layers: Layers) -> None:
    made = layers.add(
        directory("b"), file("c", b"kept"), symlink("a", "b"), directory("a"), file("a/x", b"x"),
        symlink("l", "c"), file("l", b"mine"),
    )  # fmt: skip
    assert tree(made) == {"a": "/", "a/x": "x", "b": "/", "c": "kept", "l": "mine"}


def test_whiteouts_below_what_has_become_a_link_below_stay_inside(layers: Layers) -> None:
    layers.add(symlink("a", str(layers.root / "outside")))
    top = layers.add(file("a/.wh.kept", b""))
    assert stat.S_ISCHR((top / "a/kept").lstat().st_mode)


def test_names_set_for_all_members_are_refused(layers: Layers) -> None:
    content = bytearray(tar_of(file("a", pax_headers={"path": "b"})))
    content[156] = ord("g")
    content[148:156] = b" " * 8
    content[148:156] = f"{sum(content[:BLOCK]):06o}\0 ".encode()
    with pytest.raises(Fault, match="'path' is set for all members that follow"):
        layers.unpack(bytes(content))


def test_limits_hold_at_their_edge(layers: Layers) -> None:
    content = tar_of(file("a", b""), file("b", b""))
    layers.unpack(content, files_max=2, bytes_max=len(content))
    layers.below.append(layers.root)
    with pytest.raises(Fault, match="holds more than 1 files"):
        layers.unpack(content, files_max=1)
    layers.below.append(layers.root)
    with pytest.raises(Fault, match=f"unpacks to more than {len(content) - 1} bytes"):
        layers.unpack(content, bytes_max=len(content) - 1)


def test_names_that_a_layer_makes_us_remember_are_limited(
    layers: Layers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path of a few thousand bytes has a thousand parents, which take megabytes."""
    deep = tar_of(directory("d/" * 100))
    kept_bytes = (
        sum(2 * at - 1 + filtering.NAME_BYTES for at in range(1, 100)) + 199 + filtering.NAME_BYTES
    )
    monkeypatch.setattr(filtering, "NAMES_BYTES_MAX", kept_bytes)
    layers.unpack(deep)
    monkeypatch.setattr(filtering, "NAMES_BYTES_MAX", kept_bytes - 1)
    for content in (deep, tar_of(*(symlink(f"{at}", "x" * 99) for at in range(200)))):
        layers.below.append(layers.root)
        with pytest.raises(Fault, match="its names of directories and links take more than"):
            layers.unpack(content)


def test_what_is_cut_short_is_refused(layers: Layers) -> None:
    content = tar_of(file("a", bytes(2000)))
    with pytest.raises(Fault, match="ends within a member"):
        layers.unpack(content[:1500])
    layers.below.append(layers.root)
    packed = zstd(content)
    with pytest.raises(Fault, match="the zstd stream is broken"):
        layers.unpack(packed[:-5])


def test_an_archive_may_lack_its_end(layers: Layers) -> None:
    made, _ = layers.unpack(tar_of(file("a", b"x" * BLOCK))[: 2 * BLOCK])
    assert (made / "a").stat().st_size == BLOCK


def test_unpacking_stops_when_told(layers: Layers) -> None:
    blob = layers.root / "blob"
    blob.write_bytes(tar_of(file("a")))
    is_stopped = threading.Event()
    is_stopped.set()
    (layers.root / "made").mkdir()
    with pytest.raises(Stopped):
        unpack(
            whole(str(blob)), layers.root / "made",
            digest="", diff_id="", budget=Budget(10**6, 10), is_stopped=is_stopped,
        )  # fmt: skip


def test_the_stream_may_come_in_pieces_of_any_size() -> None:
    content = tar_of(
        file("x" * 200, b"a" * 700),
        file(".wh.gone", b"bbb"),
        symlink("l", "t" * 150),
        file("e", b""),
    )

    def fed(size: int) -> bytes:
        filtering = Filter(lambda size_bytes, files: None)
        out = b"".join(
            filtering.feed(content[at : at + size]) for at in range(0, len(content), size)
        )
        filtering.end()
        assert filtering.contents.whiteouts == ["gone"]
        return out

    at_once = fed(len(content))
    assert b".wh.gone" not in at_once
    assert all(fed(size) == at_once for size in (1, 7, 511, 512, 513, 4096))


def test_a_copy_shows_what_an_overlay_shows(layers: Layers, tmp_path: Path) -> None:
    layers.add(
        directory("d", 0o750), file("d/one", b"1"), file("d/two", b"2"), directory("o"),
        file("o/old"), symlink("l", str(tmp_path / "outside")), file("gone"), directory("t"), file("t/x"),
    )  # fmt: skip
    layers.add(
        file("d/.wh.one", b""), file("d/two", b"two", mode=0o4711), hard_link("d/same", "d/two"),
        file("o/.wh..wh..opq", b""), file("o/new", b"new"), directory("l"), file("l/kept", b"mine"),
        file(".wh.gone", b""), file("t", b"a file now"),
    )  # fmt: skip
    copy = tmp_path / "copy"
    merged.copy_root(layers.below, copy, threading.Event())
    assert tree(copy) == {
        "d": "/", "d/same": "two", "d/two": "two", "l": "/", "l/kept": "mine",
        "o": "/", "o/new": "new", "t": "a file now",
    }  # fmt: skip
    assert mode(copy / "d") == 0o750
    assert mode(copy / "d/two") == 0o4711
    assert (copy / "d/two").stat().st_ino == (copy / "d/same").stat().st_ino


def test_a_copy_keeps_holes(layers: Layers, tmp_path: Path) -> None:
    made = layers.add(file("a", b"begin"))
    os.truncate(made / "a", 50_000_000)
    merged.copy_root(layers.below, tmp_path / "copy", threading.Event())
    copied = (tmp_path / "copy/a").stat()
    assert copied.st_size == 50_000_000
    assert copied.st_blocks * 512 < 1_000_000


def test_links_among_layers_resolve_within_them(layers: Layers) -> None:
    layers.add(file("real/passwd", b"ann\n"), directory("etc"), symlink("etc/loop", "loop"))
    layers.add(symlink("etc/passwd", "../../real/passwd"), symlink("etc/group", "/none"))
    assert merged.read_text(layers.below, "/etc/passwd") == "ann\n"
    assert merged.read_text(layers.below, "/etc/group") == ""
    assert merged.read_text(layers.below, "/etc/loop") == ""
    assert merged.read_text(layers.below, "/etc") == ""
    assert merged.read_text([], "/etc/passwd") == ""
