"""The two faults that are not ours: the peer's (`Refused`) and the world's (`HostError`)."""

from __future__ import annotations


class Refused(Exception):
    """The peer asked for what cannot be done; nothing has changed.

    `text` names the field, the value and the rule, lower case, without a full stop.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class HostError(Exception):
    """The machine failed us: `operation` on `subject` (a path, a pid, an address) did not work."""

    def __init__(self, operation: str, subject: str, cause: str) -> None:
        super().__init__(f"{operation} {subject}: {cause}")
        self.operation = operation
        self.subject = subject
        self.cause = cause
