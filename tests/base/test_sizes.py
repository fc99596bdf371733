"""Sizes as Mesos writes them."""

from __future__ import annotations

import pytest

from tepui.base.errors import Refused
from tepui.base.sizes import parse_bytes


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("0B", 0),
        ("1KB", 1024),
        ("512MB", 512 << 20),
        (" 2 GB ", 2 << 30),
        ("8388607TB", 8388607 << 40),
    ],
)
def test_a_size_is_read(text: str, size_bytes: int) -> None:
    assert parse_bytes(text) == size_bytes


@pytest.mark.parametrize("text", ["", "1", "GB", "1gb", "1.5GB", "-1B", "1EB", "8388608TB"])
def test_what_is_no_size_is_refused_and_named(text: str) -> None:
    with pytest.raises(Refused, match=f"size '{text}'"):
        parse_bytes(text)
