"""Why a body could not be decoded, in the words Mesos answers with.

Source: the answers of Mesos 1.12 to such bodies. The scheduler, executor and master APIs share one
wording; the operator API of the agent leaves the prefix of conversions out:

| `kind`     | scheduler, executor, master: `text`               | agent: `agent_text`                           |
| ---------- | ------------------------------------------------- | --------------------------------------------- |
| SYNTAX     | `Failed to parse body into JSON: …`               | the same                                      |
| CONVERSION | `Failed to convert JSON into Call protobuf: …`    | `…` alone                                     |
| PROTOBUF   | `Failed to parse body into Call protobuf`         | `Failed to parse body into a protobuf object` |
| PLAIN      | `…` alone: what is framed, not a body             | the same                                      |
"""

from __future__ import annotations

from enum import Enum, auto


class Kind(Enum):
    """Which step of decoding failed."""

    SYNTAX = auto()
    CONVERSION = auto()
    PROTOBUF = auto()
    PLAIN = auto()


class Malformed(Exception):
    """A body does not hold the message it should; nothing of it was used.

    `detail` is the reason; `message` the name of the expected message, `Call` for requests.
    For protobuf `detail` is not part of the answer: Mesos gives no reason there.
    """

    def __init__(self, detail: str, kind: Kind = Kind.PLAIN, message: str = "Call") -> None:
        super().__init__(detail, kind, message)
        self.kind = kind
        self.detail = detail
        self.message = message

    @property
    def text(self) -> str:
        """The whole body of the 400 of the scheduler, executor and master APIs."""
        match self.kind:
            case Kind.SYNTAX:
                return f"Failed to parse body into JSON: {self.detail}"
            case Kind.CONVERSION:
                return f"Failed to convert JSON into {self.message} protobuf: {self.detail}"
            case Kind.PROTOBUF:
                return f"Failed to parse body into {self.message} protobuf"
            case Kind.PLAIN:
                return self.detail

    @property
    def agent_text(self) -> str:
        """The whole body of the 400 of the agent's operator API."""
        match self.kind:
            case Kind.CONVERSION:
                return self.detail
            case Kind.PROTOBUF:
                return "Failed to parse body into a protobuf object"
            case Kind.SYNTAX | Kind.PLAIN:
                return self.text

    def __str__(self) -> str:
        return self.text
