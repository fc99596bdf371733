"""Why a call or a client ended: what the users of the library catch."""

from __future__ import annotations


class SdkError(Exception):
    """Base of everything the library raises about its peers."""


class CallRefused(SdkError):
    """The peer answered a call with `status`; `text` is its reason. The call had no effect."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status} {text}".rstrip())
        self.status = status
        self.text = text


class Disconnected(SdkError):
    """There is no subscription now, or the connection broke before the answer of a call came.

    In the second case nobody knows whether the call had an effect: reconciliation will tell.
    """


class Unreachable(SdkError):
    """No leading master, or not the agent, could be reached in the time allowed."""


class FrameworkEnded(SdkError):
    """The master holds the framework for removed, or another scheduler has taken its place."""


class ExecutorEnded(SdkError):
    """The agent refused the executor, or sent it an error: it must end."""


class BadPeer(SdkError):
    """What the peer sent is not the API."""
