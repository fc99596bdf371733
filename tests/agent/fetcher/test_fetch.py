"""URIs into sandboxes: copied, downloaded, extracted; never outside, never without limits."""

from __future__ import annotations

import asyncio
import gzip
import io
import os
import pwd
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp import web

from tepui.agent.fetcher.access import may_read
from tepui.agent.fetcher.errors import FetchFailed
from tepui.agent.fetcher.fetch import Fetcher, target_of
from tepui.wire import mesos

URI = mesos.CommandInfo.URI
BYTES_MAX = 20_000


class Place:
    """A sandbox, and a place with things to fetch."""

    def __init__(self, root: Path) -> None:
        self.sandbox = root / "sandbox"
        self.source = root / "source"
        self.sandbox.mkdir()
        self.source.mkdir()

    def file(self, name: str, content: bytes = b"content") -> str:
        (self.source / name).write_bytes(content)
        return str(self.source / name)

    def fetch(self, *uris: URI, timeout_ms: int = 20_000, user: str | None = None) -> None:
        fetcher = Fetcher(timeout_ms=timeout_ms, bytes_max=BYTES_MAX)
        asyncio.run(fetcher.fetch(uris, str(self.sandbox), user))

    def fetched(self) -> list[str]:
        found = (path for path in self.sandbox.rglob("*") if not path.is_dir())
        return sorted(str(path.relative_to(self.sandbox)) for path in found)

    def failure(self, *uris: URI, timeout_ms: int = 20_000) -> str:
        with pytest.raises(FetchFailed) as failed:
            self.fetch(*uris, timeout_ms=timeout_ms)
        return str(failed.value)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def tar_of(members: dict[str, bytes], mode: str = "w:gz") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as tar:  # type: ignore[call-overload]  # a literal
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o755
            tar.addfile(member, io.BytesIO(content))
    return out.getvalue()


def zip_of(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as zipped:
        for name, content in members.items():
            zipped.writestr(name, content)
    return out.getvalue()


def test_paths_and_file_uris_are_copied(place: Place) -> None:
    one, two = place.file("one"), place.file("t w%o")
    place.fetch(URI(value=one), URI(value="file://" + two.replace("%", "%25")))
    assert place.fetched() == ["one", "t w%o"]
    assert (place.sandbox / "one").read_bytes() == b"content"


def test_names_directories_and_modes_are_as_asked(place: Place) -> None:
    one = place.file("one")
    place.fetch(URI(value=one, output_file="sub/renamed", executable=True))
    assert place.fetched() == ["sub/renamed"]
    assert os.access(place.sandbox / "sub/renamed", os.X_OK)


def test_archives_are_extracted_beside_themselves(place: Place) -> None:
    members = {"td/inner": b"inner"}
    uris = [
        URI(value=place.file("a.tar", tar_of({"a/x": b"1"}, "w"))),
        URI(value=place.file("b.tgz", tar_of({"b/x": b"1"}))),
        URI(value=place.file("c.tar.bz2", tar_of({"c/x": b"1"}, "w:bz2"))),
        URI(value=place.file("d.tar.xz", tar_of({"d/x": b"1"}, "w:xz"))),
        URI(value=place.file("e.zip", zip_of({"e/x": b"1"}))),
        URI(value=place.file("f.gz", gzip.compress(b"1"))),
        URI(value=place.file("g.tar.gz", tar_of(members)), extract=False),
    ]
    place.fetch(*uris)
    assert place.fetched() == [
        "a.tar", "a/x", "b.tgz", "b/x", "c.tar.bz2", "c/x", "d.tar.xz", "d/x",
        "e.zip", "e/x", "f", "f.gz", "g.tar.gz",
    ]  # fmt: skip
    assert os.access(place.sandbox / "a/x", os.X_OK)


def test_an_executable_is_not_extracted(place: Place) -> None:
    place.fetch(URI(value=place.file("x.tgz", b"#!/bin/sh"), executable=True))
    assert place.fetched() == ["x.tgz"]


def linked_tar(target: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, target
        tar.addfile(link)
        through = tarfile.TarInfo("link/file")
        through.size = 1
        tar.addfile(through, io.BytesIO(b"x"))
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("up.tar", lambda: tar_of({"../outside": b"x"}, "w")),
        ("link.tar", lambda: linked_tar("../..")),
        ("absolute-link.tar", lambda: linked_tar("/tmp")),
        ("up.zip", lambda: zip_of({"../outside": b"x"})),
        ("absolute.zip", lambda: zip_of({"/outside": b"x"})),
    ],
)
def test_no_archive_writes_outside(place: Place, name: str, make: Callable[[], bytes]) -> None:
    before = sorted(place.sandbox.parent.iterdir())
    text = place.failure(URI(value=place.file(name, make())))
    assert text.startswith(f"'{place.source}/{name}': ")
    assert sorted(place.sandbox.parent.iterdir()) == before


def test_links_of_the_sandbox_do_not_lead_out(place: Place) -> None:
    (place.sandbox / "out").symlink_to(place.source)
    one = place.file("one")
    assert "leads out of the sandbox" in place.failure(URI(value=one, output_file="out/two"))
    assert not (place.source / "two").exists()


@pytest.mark.parametrize("name", ["../up", "/absolute", "a/../../b", ""])
def test_output_files_are_in_the_sandbox(name: str) -> None:
    with pytest.raises(FetchFailed, match="not the name of a file in the sandbox"):
        target_of(URI(value="/x", output_file=name), Path("/sandbox"))


def test_failures_name_the_uri_and_the_reason(place: Place) -> None:
    assert place.failure(URI(value="/no/such/file")) == "'/no/such/file': No such file or directory"
    assert place.failure(URI(value=str(place.source))).endswith(": it is a directory")
    assert "relative path" in place.failure(URI(value="relative"))
    broken = place.file("broken.tgz", b"no archive")
    assert "the archive cannot be read" in place.failure(URI(value=broken))


def test_the_largest_file_is_taken_and_a_larger_one_is_not(place: Place) -> None:
    place.fetch(URI(value=place.file("largest", bytes(BYTES_MAX))))
    text = place.failure(URI(value=place.file("larger", bytes(BYTES_MAX + 1))))
    assert text.endswith("more than 20000 bytes")


@pytest.mark.parametrize("name", ["bomb.tar.gz", "bomb.zip", "bomb.gz"])
def test_an_archive_that_grows_too_large_is_refused(place: Place, name: str) -> None:
    content = bytes(BYTES_MAX + 1)
    made = {
        "bomb.tar.gz": tar_of({"x": content}),
        "bomb.gz": gzip.compress(content),
        "bomb.zip": _deflated(content),
    }
    text = place.failure(URI(value=place.file(name, made[name])))
    assert text.endswith("the archive holds more than 20000 bytes")


def _deflated(content: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr("x", content)
    return out.getvalue()


def test_a_user_cannot_fetch_what_it_cannot_read(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can fetch for others")
    with tempfile.TemporaryDirectory() as open_to_all:
        os.chmod(open_to_all, 0o755)
        file = Path(open_to_all) / "file"
        file.write_text("x")
        for mode, allowed in ((0o644, True), (0o640, False), (0o604, True), (0o600, False)):
            file.chmod(mode)
            assert may_read(file, "nobody") is allowed, oct(mode)
            assert may_read(file, "root")
        file.chmod(0o644)
        os.chmod(open_to_all, 0o700)
        assert not may_read(file, "nobody")
        fetcher = Fetcher(timeout_ms=20_000, bytes_max=BYTES_MAX)
        with pytest.raises(FetchFailed, match="user 'nobody' may not read it"):
            asyncio.run(fetcher.fetch([URI(value=str(file))], str(tmp_path), "nobody"))


def test_a_pipe_is_not_waited_for(place: Place) -> None:
    os.mkfifo(place.source / "pipe")
    text = place.failure(URI(value=str(place.source / "pipe")))
    assert text.endswith("it is not a regular file")


def test_what_is_fetched_belongs_to_the_user() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    with tempfile.TemporaryDirectory() as open_to_all:
        os.chmod(open_to_all, 0o755)
        place = Place(Path(open_to_all))
        archive = place.file("a.tgz", tar_of({"a/x": b"1"}))
        one = URI(value=place.file("one"), output_file="s/one")
        place.fetch(URI(value=archive), one, user="nobody")
        nobody = pwd.getpwnam("nobody").pw_uid
        for name in ("a.tgz", "a/x", "a", "s", "s/one"):
            assert (place.sandbox / name).stat().st_uid == nobody, name


@pytest.mark.real
def test_web_addresses_are_downloaded_within_limits(place: Place) -> None:
    async def page(request: web.Request) -> web.StreamResponse:
        size = int(request.query.get("size", 5))
        answer = web.StreamResponse()  # chunked: its length is not told before
        await answer.prepare(request)
        await answer.write(b"x" * size)
        if "hang" in request.query:
            await asyncio.Event().wait()
        return answer

    async def scenario() -> None:
        application = web.Application()
        application.router.add_get("/page", page)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        address = f"http://127.0.0.1:{runner.addresses[0][1]}"
        fetcher = Fetcher(timeout_ms=20_000, bytes_max=BYTES_MAX)

        async def failure(uri: str, one: Fetcher = fetcher) -> str:
            with pytest.raises(FetchFailed) as failed:
                await one.fetch([URI(value=uri)], str(place.sandbox), None)
            return str(failed.value)

        await fetcher.fetch([URI(value=f"{address}/page?a=b")], str(place.sandbox), None)
        assert (place.sandbox / "page").read_bytes() == b"xxxxx"
        assert (await failure(f"{address}/nope")).endswith("the server answered 404 Not Found")
        assert (await failure(f"{address}/page?size=20001")).endswith("more than 20000 bytes")
        hasty = Fetcher(timeout_ms=100, bytes_max=BYTES_MAX)
        assert await failure(f"{address}/page?hang", hasty) == "not done within 0.1 s"
        await runner.cleanup()
        assert "refused" in (await failure(f"{address}/page")).lower() or "connect" in (
            await failure(f"{address}/page")
        )

    asyncio.run(scenario())
