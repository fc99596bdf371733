"""What is fuzzed: functions of bytes that raise on a real fault, and on nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from msgspec import Struct

from tests.fuzz.agent_core import agent_target
from tests.fuzz.codecs import json_target, protobuf_target, recordio_target
from tests.fuzz.daemons import http_agent_target, http_master_target
from tests.fuzz.links import link_target
from tests.fuzz.master_core import master_target


class Target(Struct, frozen=True):
    """`run` takes any bytes; inputs longer than `bytes_max` are not worth their time."""

    run: Callable[[bytes], None]
    about: str
    bytes_max: int
    mutants: int  # in one run of the tests


TARGETS: Final[Mapping[str, Target]] = {
    "json": Target(json_target, "JSON of every message, by both decoders", 4096, 1_500),
    "protobuf": Target(protobuf_target, "protobuf of every message, and back by JSON", 4096, 1_500),
    "recordio": Target(recordio_target, "RecordIO in any pieces", 512, 3_000),
    "link": Target(link_target, "bytes on the link, up to both cores", 4096, 400),
    "master": Target(master_target, "what may be said to a master's core", 512, 120),
    "agent": Target(agent_target, "what may happen to an agent's core", 512, 300),
    "http_master": Target(http_master_target, "HTTP of a whole master", 4096, 60),
    "http_agent": Target(http_agent_target, "HTTP of a whole agent", 4096, 60),
}
