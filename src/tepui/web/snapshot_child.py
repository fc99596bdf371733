"""What the child of a snapshot does: write the texts.

A text with several files is made by as many processes, which the child forks in turn. Whoever of
them finds that its parent is no more ends as well.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import chain

from msgspec import Struct

from tepui.base.forking import Orphaned, end_with, leave_parent
from tepui.wire.pieces import Part, gathered, share_of


class Text(Struct, frozen=True):
    """A text, and the files for its shares."""

    parts: Callable[[], Iterable[Part]]
    values: int  # in all shares together, as `share_of` wants to know
    files: Sequence[int]


def write(texts: Sequence[Text], parent: int) -> None:
    """The work of the child; `parent` has forked it."""
    leave_parent(chain.from_iterable(text.files for text in texts))
    for text in texts:
        _write_text(text, parent)


def _write_text(text: Text, parent: int) -> None:
    """All shares are written, or an exception says that they are not."""
    me = os.getpid()
    others: list[int] = []
    for share in range(1, len(text.files)):
        pid = os.fork()
        if pid == 0:
            end_with(partial(_write_share, text, share, me))
        others.append(pid)
    _write_share(text, 0, parent)
    for pid in others:
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if code != 0:
            raise ChildProcessError(f"a share of the text was not made: exit {code}")


def _write_share(text: Text, share: int, parent: int) -> None:
    file = text.files[share]
    for piece in gathered(share_of(text.parts(), text.values, share, len(text.files))):
        if os.getppid() != parent:
            raise Orphaned
        rest = memoryview(piece)
        while rest:
            rest = rest[os.write(file, rest) :]
