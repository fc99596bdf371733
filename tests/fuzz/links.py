"""The link's bytes: any bytes in any pieces, and then the core that has to live with them."""

from __future__ import annotations

from collections.abc import Iterator

from tepui.agent.core import events
from tepui.master.core.events import LinkClosed, LinkId, LinkOpened, LinkReceived
from tepui.wire import link
from tepui.wire.errors import Malformed
from tests.fuzz.agent_core import AgentUnderTest
from tests.fuzz.drawing import pieces
from tests.fuzz.master_core import MasterUnderTest

NEW_LINK = LinkId(1_000_000)


def link_target(data: bytes) -> None:
    """The first byte is who is spoken to, the second the pieces; the rest is the stream."""
    if len(data) < 2:
        return
    to_master, whole = data[0] % 2 == 0, data[2:]
    cut = list(pieces(whole, data[1]))
    messages = list(_messages([whole], to_master=to_master))
    again = list(_messages(cut, to_master=to_master))
    # As bytes, for a message may hold NaN.
    assert list(map(_bytes, messages)) == list(map(_bytes, again)), "pieces change what was said"
    if to_master:
        _tell_master(messages, LinkId(2) if data[0] & 2 else NEW_LINK, pause=bool(data[0] & 4))
    else:
        _tell_agent(messages, pause=bool(data[0] & 4))


def _messages(stream: list[bytes], *, to_master: bool) -> Iterator[object]:
    """The messages, and the text of the fault that ends them if one does."""
    reader = link.LinkReader()
    try:
        for piece in stream:
            yield from reader.from_agent(piece) if to_master else reader.from_master(piece)
    except Malformed as error:
        yield error.text


def _bytes(message: object) -> bytes:
    return link.frame(message) if isinstance(message, link.LinkMessage) else str(message).encode()


def _tell_master(messages: list[object], found: LinkId, *, pause: bool) -> None:
    here = MasterUnderTest()
    if found == NEW_LINK:
        here.put(LinkOpened(found, "10.0.0.1"))
    for message in messages:
        if isinstance(message, link.FromAgent):
            here.put(LinkReceived(found, message))
        if pause:
            here.wait(10_000)
    here.put(LinkClosed(found))
    here.finish()


def _tell_agent(messages: list[object], *, pause: bool) -> None:
    here = AgentUnderTest()
    for message in messages:
        if isinstance(message, link.FromMaster):
            here.hear(message)
        if pause:
            here.wait(10_000)
    here.put(events.LinkLost())
    here.wait(10_000_000)
