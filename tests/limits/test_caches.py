"""What is kept only because it may be needed again."""

from __future__ import annotations

from tepui.allocator import regex
from tepui.master.core import sharing
from tepui.master.core.views import values
from tepui.web import reader


def test_caches_have_their_sizes() -> None:
    assert regex.compile_pattern.cache_parameters()["maxsize"] == regex.PATTERNS_MAX
    assert values.amounts.cache_parameters()["maxsize"] == values.AMOUNTS_CACHED_MAX
    assert sharing.shared_resources.cache_parameters()["maxsize"] == sharing.SHARED_MAX
    assert reader._known_target.cache_parameters()["maxsize"] == reader._TARGETS_MAX


def test_a_long_target_is_not_kept() -> None:
    before = reader._known_target.cache_info().currsize
    longest = b"/" + b"x" * (reader._KNOWN_BYTES_MAX - 1)
    reader.target_of(longest)
    assert reader._known_target.cache_info().currsize == min(before + 1, reader._TARGETS_MAX)
    kept = reader._known_target.cache_info().currsize
    reader.target_of(longest + b"x")
    assert reader._known_target.cache_info().currsize == kept


def test_a_long_head_is_not_kept() -> None:
    def keeps(size_bytes: int) -> bool:
        before, after = b"GET /state HTTP/1.1\r\nX: ", b"\r\n\r\n"
        head = before + b"x" * (size_bytes - len(before) - len(after)) + after
        one = reader.RequestReader("127.0.0.1:5050", reader.Held(), frozenset())
        request, _ = one.read(head, 0)
        assert request is not None
        return one._known is not None

    assert keeps(reader._KNOWN_HEAD_BYTES_MAX)
    assert not keeps(reader._KNOWN_HEAD_BYTES_MAX + 1)
