"""Which encoding a request of the v1 APIs has, and which its answer shall have.

The scheduler, executor and master APIs speak JSON and protobuf. The operator API of the agent also
takes and gives RecordIO streams of either, which a second pair of headers then names.

Content-Type is compared exactly: no parameters, no capitals. Accept is read as HTTP has it, save
that among what it allows JSON is preferred and no weight changes that; only `q=0` excludes.

Mesos looks at Content-Type, then at the body, and at Accept last, and then only for calls that are
answered with a message: a TEARDOWN with `Accept: image/png` is fine. The agent's operator API looks
at all headers first, then at the body, then whether the call fits them (`check_agent_call`).
Source: answers of Mesos 1.12; Mesos src/slave/http.cpp.
"""

from __future__ import annotations

from enum import Enum
from typing import TypeVar

from msgspec import Struct

from tepui.wire import json
from tepui.wire.message import ProtoMessage

M = TypeVar("M", bound=ProtoMessage)


class Media(Enum):
    """An encoding; the value is its media type."""

    JSON = "application/json"
    PROTOBUF = "application/x-protobuf"
    RECORDIO = "application/recordio"


class NotNegotiable(Exception):
    """The headers ask for what there is not; answer with `status` and `text` as plain text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(status, text)
        self.status = status
        self.text = text


class Streamed(Struct, frozen=True):
    """What one direction carries: `media`, and within RECORDIO records of `message`.

    Outside RECORDIO both are the same, so `message` always names the codec.
    """

    media: Media
    message: Media


_PLAIN = (Media.JSON, Media.PROTOBUF)  # in the order of preference
_ALL = (*_PLAIN, Media.RECORDIO)
_STREAMED_CALLS = ("ATTACH_CONTAINER_INPUT",)
_STREAMED_ANSWERS = ("ATTACH_CONTAINER_OUTPUT", "LAUNCH_NESTED_CONTAINER_SESSION")


def content(content_type: str | None) -> Media:
    """The encoding of a request to the scheduler, executor or master API; raises NotNegotiable."""
    return _content(
        content_type,
        _PLAIN,
        "Expecting 'Content-Type' of application/json or application/x-protobuf",
    )


def accepted(accept: str | None) -> Media:
    """The encoding of the answer of those APIs and of their streams; raises NotNegotiable.

    In a stream of events each RecordIO record has this encoding.
    """
    for media in _PLAIN:
        if allows(accept, media):
            return media
    raise NotNegotiable(
        406, "Expecting 'Accept' to allow 'application/x-protobuf' or 'application/json'"
    )


def agent_content(content_type: str | None, message_content_type: str | None) -> Streamed:
    """What a request to the agent's operator API carries; raises NotNegotiable."""
    media = _content(
        content_type,
        _ALL,
        "Expecting 'Content-Type' of application/json or application/x-protobuf"
        " or application/recordio",
    )
    if media is not Media.RECORDIO:
        if message_content_type is not None:
            raise NotNegotiable(
                415, "Expecting 'Message-Content-Type' to be not set for non-streaming requests"
            )
        return Streamed(media, media)
    if message_content_type is None:
        raise NotNegotiable(
            400, "Expecting 'Message-Content-Type' to be set for streaming requests"
        )
    for message in _PLAIN:
        if message_content_type == message.value:
            return Streamed(media, message)
    raise NotNegotiable(
        415, "Expecting 'Message-Content-Type' of application/json or application/x-protobuf"
    )


def agent_accepted(accept: str | None, message_accept: str | None) -> Streamed:
    """What the answer of the agent's operator API shall carry; raises NotNegotiable.

    JSON or PROTOBUF for a call whose answer is a stream means records of that encoding.
    """
    for media in _ALL:
        if allows(accept, media):
            break
    else:
        raise NotNegotiable(
            406,
            "Expecting 'Accept' to allow application/json or application/x-protobuf"
            " or application/recordio",
        )
    if media is not Media.RECORDIO:
        if message_accept is not None:
            raise NotNegotiable(
                406, "Expecting 'Message-Accept' to be not set for non-streaming responses"
            )
        return Streamed(media, media)
    for message in _PLAIN:
        if allows(message_accept, message):
            return Streamed(media, message)
    raise NotNegotiable(
        406, "Expecting 'Message-Accept' to allow application/json or application/x-protobuf"
    )


def check_agent_call(call_type: str, request: Streamed, answer: Streamed) -> None:
    """Nothing when a call of that type may be streamed as the headers say; raises NotNegotiable."""
    if request.media is Media.RECORDIO and call_type not in _STREAMED_CALLS:
        raise NotNegotiable(
            415,
            f"Streaming 'Content-Type' application/recordio is not supported for {call_type} call",
        )
    if request.media is not Media.RECORDIO and call_type in _STREAMED_CALLS:
        raise NotNegotiable(
            415, f"Expecting 'Content-Type' to be application/recordio for {call_type} call"
        )
    if answer.media is Media.RECORDIO and call_type not in _STREAMED_ANSWERS:
        raise NotNegotiable(406, f"Streaming response is not supported for {call_type} call")


def allows(accept: str | None, media: Media) -> bool:
    """Whether an Accept header allows `media`. The most exact range that names it decides."""
    if accept is None or accept == media.value:
        return True
    ranges = [
        [part for part in one.split(";") if part]
        for one in accept.translate(_WITHOUT_SPACE).lower().split(",")
    ]
    for candidate in (media.value, "application/*", "*/*"):
        for name_and_parameters in ranges:
            if name_and_parameters[:1] == [candidate]:
                return _weight(name_and_parameters[1:]) > 0
    return False


def encode(message: ProtoMessage, media: Media) -> bytes:
    """`message` in JSON or protobuf."""
    match media:
        case Media.JSON:
            return json.encode(message)
        case Media.PROTOBUF:
            from tepui.wire import protobuf  # its import is slow, and few ever need it

            return protobuf.encode(message)
        case Media.RECORDIO:
            raise ValueError("a message is JSON or protobuf; RecordIO frames it")


def decode(cls: type[M], body: bytes, media: Media) -> M:
    """The `cls` that `body` holds; raises Malformed."""
    match media:
        case Media.JSON:
            return json.decode(cls, body)
        case Media.PROTOBUF:
            from tepui.wire import protobuf  # its import is slow, and few ever need it

            return protobuf.decode(cls, body)
        case Media.RECORDIO:
            raise ValueError("a message is JSON or protobuf; RecordIO frames it")


_WITHOUT_SPACE = {ord(space): None for space in " \t\n"}


def _content(content_type: str | None, allowed: tuple[Media, ...], refusal: str) -> Media:
    if content_type is None:
        raise NotNegotiable(400, "Expecting 'Content-Type' to be present")
    for media in allowed:
        if content_type == media.value:
            return media
    raise NotNegotiable(415, refusal)


def _weight(parameters: list[str]) -> float:
    """The one `q` among the parameters; 1 when there is none or several."""
    weights = [p.removeprefix("q=") for p in parameters if p.startswith("q=")]
    if len(weights) != 1:
        return 1.0
    try:
        return float(weights[0])
    except ValueError:
        return 0.0  # as Mesos: a weight that is no number excludes
