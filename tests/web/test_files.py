"""Files that a daemon shows, and the ones it does not."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import urlencode

import msgspec
import pytest

from tepui.web.files import FileError, Files, FilesApi
from tepui.web.http import Request, Response


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """`/sandbox` shows a directory with a file, a directory and three links."""
    root = tmp_path / "run"
    (root / "sub").mkdir(parents=True)
    (root / "stdout").write_text("hello\n")
    (root / "sub" / "deep").write_text("deep")
    (tmp_path / "secret").write_text("secret")
    (root / "out").symlink_to(tmp_path / "secret")
    (root / "up").symlink_to("..")
    (root / "in").symlink_to("sub/deep")
    os.mkfifo(root / "pipe")
    shown = Files()
    shown.attach("/sandbox", str(root))
    return shown


def ask(handler: Callable[[Request], Awaitable[Response]], **query: str | int) -> tuple[int, str]:
    request = Request(
        method="GET",
        path="",
        rest="",
        headers={},
        query_text=urlencode(query),
        body=b"",
        server="",
    )

    async def answer() -> Response:
        return await handler(request)

    response = asyncio.run(answer())
    return response.status, response.body.decode()


def test_a_directory_is_listed_by_the_path_it_was_asked_by(files: Files) -> None:
    for path in ("/sandbox", "/sandbox/"):
        found = files.browse(path)
        assert [one.path for one in found] == [
            f"/sandbox/{name}" for name in ("in", "out", "pipe", "stdout", "sub", "up")
        ]
    status, body = ask(FilesApi(files).browse, path="/sandbox")
    entry = msgspec.json.decode(body)[3]
    assert status == 200
    assert list(entry) == ["gid", "mode", "mtime", "nlink", "path", "size", "uid"]
    assert (entry["mode"], entry["size"]) == ("-rw-r--r--", 6)
    assert ask(FilesApi(files).browse, path="/sandbox/stdout") == (200, "[]")


@pytest.mark.parametrize("path", ["/", "/other", "/sandbox2", "/sandbox/nope", "sandbox"])
def test_what_is_not_there_is_404_without_words(files: Files, path: str) -> None:
    assert ask(FilesApi(files).browse, path=path) == (404, "")
    assert ask(FilesApi(files).read, path=path) == (404, "")
    assert ask(FilesApi(files).download, path=path) == (404, "404 Not Found.")


@pytest.mark.parametrize(
    "path", ["/sandbox/..", "/sandbox/../..", "/sandbox/out", "/sandbox/up/secret", "/sandbox/up"]
)
def test_nothing_outside_can_be_seen(files: Files, path: str) -> None:
    refused = (400, f"'{path}' is inaccessible.\n")
    assert ask(FilesApi(files).browse, path=path) == refused
    assert ask(FilesApi(files).read, path=path, offset=0) == refused
    assert ask(FilesApi(files).download, path=path) == refused


def test_links_and_dots_within_are_followed(files: Files) -> None:
    assert files.read("/sandbox/in", 0, None, 100).data == b"deep"
    assert files.read("/sandbox/sub/../stdout", 0, None, 100).data == b"hello\n"


@pytest.mark.parametrize(
    ("offset", "length", "data", "at"),
    [
        (None, None, "", 6),
        (0, None, "hello\n", 0),
        (-1, None, "", 6),
        (0, 3, "hel", 0),
        (3, -1, "lo\n", 3),
        (100, 3, "", 100),
        (0, 99_999_999, "hello\n", 0),
        (0, 0, "", 0),
    ],
)
def test_a_piece_of_a_file(
    files: Files, offset: int | None, length: int | None, data: str, at: int
) -> None:
    query = {"path": "/sandbox/stdout", "offset": offset, "length": length}
    given = {name: value for name, value in query.items() if value is not None}
    status, body = ask(FilesApi(files).read, **given)
    assert (status, msgspec.json.decode(body)) == (200, {"data": data, "offset": at})


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ({"offset": "x"}, "Failed to parse offset: Failed to convert 'x' to number.\n"),
        ({"length": "x"}, "Failed to parse length: Failed to convert 'x' to number.\n"),
        ({"offset": "-2"}, "Negative offset provided: -2.\n"),
    ],
)
def test_wrong_numbers_are_named(files: Files, query: dict[str, str], text: str) -> None:
    assert ask(FilesApi(files).read, path="/sandbox/stdout", **query) == (400, text)


def test_a_directory_and_a_pipe_cannot_be_read(files: Files) -> None:
    api = FilesApi(files)
    assert ask(api.read, path="/sandbox") == (400, "Cannot read a directory.\n")
    assert ask(api.download, path="/sandbox/sub") == (400, "Cannot download a directory.\n")
    refused = (400, "Cannot read what is not a file.\n")
    assert ask(api.download, path="/sandbox/pipe") == refused


def test_a_download_names_its_file(files: Files) -> None:
    request = Request("GET", "", {}, urlencode({"path": "/sandbox/stdout"}), b"", "")
    answer = asyncio.run(FilesApi(files).download(request))
    assert (answer.status, answer.body) == (200, b"hello\n")
    assert answer.content_type == "application/octet-stream"
    assert answer.headers == (("Content-Disposition", "attachment; filename=stdout"),)


def test_what_is_detached_is_gone(files: Files) -> None:
    assert list(files.attached()) == ["/sandbox"]
    files.detach("/sandbox")
    files.detach("/sandbox")
    assert ask(FilesApi(files).debug) == (200, "{}")
    assert ask(FilesApi(files).browse, path="/sandbox") == (404, "")


def test_a_path_must_be_given(files: Files) -> None:
    api = FilesApi(files)
    for handler in (api.browse, api.read, api.download):
        assert ask(handler)[0] == 400


def test_what_the_machine_refuses_is_a_file_error_for_every_caller(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run" / "round").symlink_to("round")
    for path in ("/sandbox/" + "x" * 5_000, "/sandbox/round", "/sandbox/stdout/below"):
        with pytest.raises(FileError) as refused:
            files.browse(path)
        assert refused.value.status == 404

    def closed(*_: object) -> int:
        raise PermissionError

    monkeypatch.setattr(os, "open", closed)
    for act in (
        lambda: files.read("/sandbox/stdout", 0, None, 9),
        lambda: files.load("/sandbox/in"),
    ):
        with pytest.raises(FileError) as refused:
            act()
        assert (refused.value.status, refused.value.body) == (403, "The file cannot be read.\n")


def test_a_name_that_is_not_utf8_is_listed_as_far_as_it_can_be(
    files: Files, tmp_path: Path
) -> None:
    os.close(os.open(os.fsencode(tmp_path / "run" / "sub") + b"/a\xff", os.O_CREAT))
    assert [one.path for one in files.browse("/sandbox/sub")] == [
        "/sandbox/sub/a\ufffd",
        "/sandbox/sub/deep",
    ]
    assert ask(FilesApi(files).browse, path="/sandbox/sub")[0] == 200
