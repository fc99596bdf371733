"""URLs of ZooKeeper as operators write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tepui.base.errors import Refused
from tepui.zookeeper.url import FILE_BYTES_MAX, ZkUrl, parse_zk_url

H1, H2 = ("h1", 2181), ("h2", 2182)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("zk://h1:2181", ZkUrl((H1,), "/")),
        ("zk://h1", ZkUrl((H1,), "/")),
        ("zk://jake:1@h1:2181", ZkUrl((H1,), "/", "jake:1")),
        ("zk://jake:1@h1:2181/", ZkUrl((H1,), "/", "jake:1")),
        ("zk://jake:1@h1:2181,h2:2182", ZkUrl((H1, H2), "/", "jake:1")),
        ("zk://jake:1@h1:2181,h2:2182/", ZkUrl((H1, H2), "/", "jake:1")),
        ("zk://jake:1@h1:2181,h2:2182/p/q/r", ZkUrl((H1, H2), "/p/q/r", "jake:1")),
        ("zk://jake:1@2:3@h1:2181/mesos/", ZkUrl((H1,), "/mesos", "jake:1@2:3")),
        (" zk://h1:2181/mesos\n", ZkUrl((H1,), "/mesos")),
        ("zk://h1/a@b", ZkUrl((H1,), "/a@b")),
        ("zk://10.0.0.1:1,[::1]:65535/m", ZkUrl((("10.0.0.1", 1), ("::1", 65535)), "/m")),
        ("zk://[::1]/m", ZkUrl((("::1", 2181),), "/m")),
    ],
)
def test_what_mesos_takes_is_taken(text: str, expected: ZkUrl) -> None:
    assert parse_zk_url(text) == expected


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "must have the form zk://"),
        ("h1:2181/mesos", "must have the form zk://.*, not 'h1:2181/mesos'"),
        ("http://h1:2181/mesos", "not 'http://h1:2181/mesos'"),
        ("zk://", "'' in 'zk://' must have the form host:port"),
        ("zk:///mesos", "'' in .* must have the form host:port"),
        ("zk://h1:2181,/mesos", "'' in .* must have the form host:port"),
        ("zk://:2181/mesos", "':2181' in .* must have the form host:port"),
        ("zk://h 1:2181/mesos", "'h 1:2181' in .* must have the form host:port"),
        ("zk://[::1/mesos", "must have the form host:port"),
        ("zk://[::1]x/mesos", "must have the form host:port"),
        ("zk://h1:/mesos", "the port of 'h1:' in .* must be 1 to 65535"),
        ("zk://h1:port1", "the port of 'h1:port1' in 'zk://h1:port1' must be 1 to 65535"),
        ("zk://h1:0", "must be 1 to 65535"),
        ("zk://h1:65536", "must be 1 to 65535"),
        ("zk://h1:99999999999999999999", "must be 1 to 65535"),
        ("zk://jake@h1:2181", "credentials in .* must have the form user:password"),
        ("zk://@h1:2181", "credentials in .* must have the form user:password"),
        ("zk://h1//mesos", "the path of .* holds an empty name"),
        ("zk://h1/a/../b", "the path of .* holds an empty name, '.', '..'"),
        ("zk://h1/a\0b", "or a control character"),
    ],
)
def test_others_are_refused_by_name(text: str, told: str) -> None:
    with pytest.raises(Refused, match=told):
        parse_zk_url(text)


def test_passwords_are_not_told() -> None:
    url = parse_zk_url("zk://jake:secret@h1:2181/mesos")
    assert str(url) == "zk://jake:***@h1:2181/mesos"
    assert "secret" not in repr(url)
    with pytest.raises(Refused) as refused:
        parse_zk_url("zk://jake:secret@h1:port/mesos")
    assert "secret" not in refused.value.text


def test_a_url_may_stand_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "zk"
    file.write_text("zk://jake:1@h1:2181/mesos\n")
    assert parse_zk_url(f"file://{file}") == ZkUrl((H1,), "/mesos", "jake:1")
    for content in (b"file:///etc/passwd", b"", b"h1:2181"):
        file.write_bytes(content)
        with pytest.raises(Refused, match="must have the form zk://"):
            parse_zk_url(f"file://{file}")
    file.write_bytes(b"\xff")
    with pytest.raises(Refused, match=f"cannot read the address in '{file}'"):
        parse_zk_url(f"file://{file}")
    with pytest.raises(Refused, match=r"cannot read the address in .*none"):
        parse_zk_url(f"file://{tmp_path}/none")


def test_a_file_of_the_largest_size_is_read_and_a_larger_one_is_not(tmp_path: Path) -> None:
    file = tmp_path / "zk"
    file.write_bytes(b"zk://h1/m".ljust(FILE_BYTES_MAX))
    assert parse_zk_url(f"file://{file}").path == "/m"
    file.write_bytes(b"zk://h1/m".ljust(FILE_BYTES_MAX + 1))
    with pytest.raises(Refused, match=f"more than {FILE_BYTES_MAX} bytes"):
        parse_zk_url(f"file://{file}")
