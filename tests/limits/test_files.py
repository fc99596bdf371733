"""Files that operators read: so many bytes at once, so many names of a directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from tepui.web import files as files_module
from tepui.web import http
from tepui.web.files import FileError, Files
from tepui.web.http import Request, TooManyFields


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path


def attached(root: Path) -> Files:
    found = Files()
    found.attach("/box", str(root))
    return found


def test_a_piece_of_a_file_has_so_many_bytes(root: Path) -> None:
    (root / "log").write_bytes(b"x" * 12)
    files = attached(root)
    assert files.read("/box/log", 0, 10, 10).data == b"x" * 10
    assert files.read("/box/log", 0, 11, 10).data == b"x" * 10
    assert files.read("/box/log", 0, None, 10).data == b"x" * 10
    assert files.read("/box/log", 0, 10**18, 10).data == b"x" * 10


def test_a_file_that_is_downloaded_has_so_many_bytes(
    monkeypatch: pytest.MonkeyPatch, root: Path
) -> None:
    monkeypatch.setattr(files_module, "DOWNLOAD_BYTES_MAX", 10)
    (root / "fits").write_bytes(bytes(10))
    (root / "large").write_bytes(bytes(11))
    files = attached(root)
    assert files.load("/box/fits") == ("fits", bytes(10))
    with pytest.raises(FileError) as refused:
        files.load("/box/large")
    assert refused.value.status == 413


def test_a_directory_shows_so_many_names(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    monkeypatch.setattr(files_module, "ENTRIES_MAX", 2)
    for name in "ab":
        (root / name).touch()
    files = attached(root)
    assert [Path(one.path).name for one in files.browse("/box")] == ["a", "b"]
    (root / "c").touch()
    assert [Path(one.path).name for one in files.browse("/box")] == ["a", "b"]


def test_a_query_has_so_many_fields() -> None:
    def asked(count: int) -> Request:
        text = "&".join(f"f{number}=1" for number in range(count))
        return Request(
            method="GET",
            path="/",
            rest="",
            headers={},
            query_text=text,
            body=text.encode(),
            server="",
        )

    assert len(asked(http.QUERY_FIELDS_MAX).query) == http.QUERY_FIELDS_MAX
    assert len(asked(http.QUERY_FIELDS_MAX).form) == http.QUERY_FIELDS_MAX
    with pytest.raises(TooManyFields, match="1000 fields at most"):
        _ = asked(http.QUERY_FIELDS_MAX + 1).query
    with pytest.raises(TooManyFields, match="1000 fields at most"):
        _ = asked(http.QUERY_FIELDS_MAX + 1).form
