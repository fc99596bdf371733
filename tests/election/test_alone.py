"""A master that has no others beside it."""

from __future__ import annotations

import asyncio

import pytest

from tepui.election.alone import Alone
from tepui.election.election import Leading, Told
from tepui.election.info import INFO_BYTES_MAX
from tests.election.told import Ear, info


def test_who_stands_alone_leads_with_the_epoch_it_was_given() -> None:
    async def test() -> None:
        election, ear = Alone(epoch=7), Ear("m1")
        election.start(info("m1"), ear)
        assert ear.heard == []  # not before `start` has returned
        await ear.leading()
        assert election.holds()
        await election.close()
        assert ear.heard == [Leading(7)]

    asyncio.run(test())


def test_nothing_is_told_after_close() -> None:
    async def test() -> None:
        heard: list[Told] = []
        election = Alone(epoch=7)
        election.start(info("m1"), heard.append)
        await election.close()
        await asyncio.sleep(0)
        assert heard == []

    asyncio.run(test())


@pytest.mark.parametrize("bad", [b"", b"{", b"[]", b"{}", b'{"id":1}', b"\xff", b"[" * 60_000])
def test_what_is_no_master_info_cannot_stand(bad: bytes) -> None:
    with pytest.raises(ValueError, match="no MasterInfo in JSON"):
        Alone(epoch=1).start(bad, print)


def test_the_largest_master_info_stands_and_a_larger_one_does_not() -> None:
    async def test() -> None:
        largest = info("m1") + b" " * (INFO_BYTES_MAX - len(info("m1")))
        Alone(epoch=1).start(largest, lambda told: None)
        with pytest.raises(ValueError, match=f"larger than {INFO_BYTES_MAX}"):
            Alone(epoch=1).start(largest + b" ", print)

    asyncio.run(test())
