"""Content negotiation answers as Mesos 1.12 does."""

from __future__ import annotations

import json as plain_json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tepui.wire import mesos
from tepui.wire.media import (
    Media,
    NotNegotiable,
    Streamed,
    accepted,
    agent_accepted,
    agent_content,
    allows,
    check_agent_call,
    content,
    decode,
    encode,
)

CASES = Path(__file__).parents[1] / "data" / "mesos-negotiation-cases.json"
JSON = Streamed(Media.JSON, Media.JSON)
JSON_RECORDS = Streamed(Media.RECORDIO, Media.JSON)


def _answered(api: str, headers: dict[str, str]) -> dict[str, Any]:
    get = headers.get
    try:
        if api == "agent":
            agent_content(get("content-type"), get("message-content-type"))
            media = agent_accepted(get("accept"), get("message-accept")).media
        else:
            content(get("content-type"))
            media = accepted(get("accept"))
    except NotNegotiable as error:
        return {"status": error.status, "text": error.text}
    return {"status": 200, "content_type": media.value}


def test_recorded_headers_are_answered_as_mesos_answered_them() -> None:
    cases = plain_json.loads(CASES.read_text())
    assert len(cases) > 30
    for case in cases:
        wanted = {key: case[key] for key in case if key not in ("api", "headers")}
        assert _answered(case["api"], case["headers"]) == wanted, case


@pytest.mark.parametrize(
    ("accept", "allowed"),
    [
        (None, True),
        ("", False),
        ("application/json", True),
        ("APPLICATION/JSON", True),
        (" application/json ; q=0.1", True),
        ("application/json;q=0", False),
        ("application/json;q=0.0, */*", False),  # the more exact range decides
        ("application/json;q=x", False),
        ("*/*;q=0.001", True),
        ("text/*, application/*", True),
        ("text/html", False),
        (";q=1,,;", False),
    ],
)
def test_accept_allows_json(accept: str | None, *, allowed: bool) -> None:
    assert allows(accept, Media.JSON) is allowed


def test_protobuf_is_answered_when_json_is_excluded() -> None:
    assert accepted("application/json;q=0, */*") is Media.PROTOBUF


def test_request_stream_names_the_encoding_of_its_records() -> None:
    assert agent_content("application/recordio", "application/json") == JSON_RECORDS
    with pytest.raises(NotNegotiable) as refused:
        agent_content("application/recordio", "text/plain")
    assert refused.value.status == 415
    with pytest.raises(NotNegotiable) as refused:
        agent_content("application/json", "application/json")
    assert (refused.value.status, refused.value.text) == (
        415,
        "Expecting 'Message-Content-Type' to be not set for non-streaming requests",
    )


def test_answered_stream_is_records_of_json_unless_the_headers_say_otherwise() -> None:
    assert agent_accepted("application/recordio", None) == JSON_RECORDS
    assert agent_accepted("application/recordio", "application/x-protobuf") == Streamed(
        Media.RECORDIO, Media.PROTOBUF
    )
    for accept, message_accept in (("application/recordio", "text/html"), (None, "*/*")):
        with pytest.raises(NotNegotiable) as refused:
            agent_accepted(accept, message_accept)
        assert refused.value.status == 406


@pytest.mark.parametrize(
    ("call", "request_media", "answer", "status", "text"),
    [
        ("GET_VERSION", JSON_RECORDS, JSON, 415,
         "Streaming 'Content-Type' application/recordio is not supported for GET_VERSION call"),
        ("ATTACH_CONTAINER_INPUT", JSON, JSON, 415,
         "Expecting 'Content-Type' to be application/recordio for ATTACH_CONTAINER_INPUT call"),
        ("GET_VERSION", JSON, JSON_RECORDS, 406,
         "Streaming response is not supported for GET_VERSION call"),
    ],
)  # fmt: skip
def test_only_some_agent_calls_are_streamed(
    call: str, request_media: Streamed, answer: Streamed, status: int, text: str
) -> None:
    with pytest.raises(NotNegotiable) as refused:
        check_agent_call(call, request_media, answer)
    assert (refused.value.status, refused.value.text) == (status, text)


def test_streamed_agent_calls_pass() -> None:
    check_agent_call("GET_VERSION", JSON, JSON)
    check_agent_call("ATTACH_CONTAINER_INPUT", JSON_RECORDS, JSON)
    check_agent_call("ATTACH_CONTAINER_OUTPUT", JSON, JSON_RECORDS)


def test_message_is_encoded_and_decoded_in_both_media() -> None:
    task_id = mesos.TaskID("t")
    assert encode(task_id, Media.JSON) == b'{"value":"t"}'
    assert encode(task_id, Media.PROTOBUF) == b"\x0a\x01t"
    for media in (Media.JSON, Media.PROTOBUF):
        assert decode(mesos.TaskID, encode(task_id, media), media) == task_id


def test_protobuf_is_not_imported_before_it_is_needed() -> None:
    imported = "import sys, tepui.wire.media; print('google.protobuf' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", imported], capture_output=True, check=True)
    assert found.stdout == b"False\n"
