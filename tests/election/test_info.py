"""What may stand for election: a MasterInfo as JSON, of a limited size."""

from __future__ import annotations

import pytest

from tepui.election.info import INFO_BYTES_MAX, check_info
from tests.election.told import info


@pytest.mark.parametrize("bad", [b"", b"{", b"[]", b"{}", b'{"id":1}', b"\xff", b"[" * 60_000])
def test_what_is_no_master_info_cannot_stand(bad: bytes) -> None:
    with pytest.raises(ValueError, match="no MasterInfo in JSON"):
        check_info(bad)


def test_the_largest_master_info_stands_and_a_larger_one_does_not() -> None:
    largest = info("m1") + b" " * (INFO_BYTES_MAX - len(info("m1")))
    check_info(largest)
    with pytest.raises(ValueError, match=f"larger than {INFO_BYTES_MAX}"):
        check_info(largest + b" ")
