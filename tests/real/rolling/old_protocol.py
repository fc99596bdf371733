"""`tepui`, but it speaks the first protocol of the link only, as versions before the second did.

It greets with one number, says no epoch and tells no condition. What was agreed with each peer is
logged, as `old_link`. Run as a file, with the arguments of `tepui`.
"""

from __future__ import annotations

import logging

from msgspec.structs import replace

from tepui.wire import link

OLD = 1
log = logging.getLogger("tepui.old")

_frame, _common_protocol = link.frame, link.common_protocol


def hello() -> link.Hello:
    """The greeting of those who knew of no other protocol."""
    return link.Hello(OLD, "0.0.1")


def frame(message: link.LinkMessage) -> bytes:
    """Without what is new in the second protocol."""
    assert not isinstance(message, link.Condition), "who speaks protocol 1 knows no such message"
    if isinstance(message, link.Registered):
        message = replace(message, epoch=0)
    return _frame(message)


def common_protocol(theirs: link.Hello) -> int | None:
    """What both speak."""
    agreed = _common_protocol(theirs)
    log.info("old_link protocol=%s peer=%d..%d", agreed, theirs.oldest, theirs.newest)
    return agreed


if __name__ == "__main__":
    # Before anything else of it is imported, for some of it keeps the number.
    vars(link).update(PROTOCOL=OLD, hello=hello, frame=frame, common_protocol=common_protocol)

    from tepui.cli.main import main

    main()
