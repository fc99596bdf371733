"""The rules for wire resources: each with its text, and its neighbour that is allowed."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec
import pytest

from tepui.base.errors import Refused
from tepui.resources import Resources
from tepui.resources.validation import (
    ID_LENGTH_MAX,
    validate_id,
    validate_no_revocable_mix,
    validate_persistent_volumes,
    validate_resource,
    validate_single_provider,
    validate_unique_persistence_ids,
    validate_usable,
)
from tepui.wire import mesos

CPUS = '"name":"cpus","type":"SCALAR","scalar":{"value":1}'
PORTS = '"name":"ports","type":"RANGES"'
DISK = '"name":"disk","type":"SCALAR","scalar":{"value":1}'
VOLUME = '"volume":{"container_path":"v","mode":"RW"}'
V1 = f'"disk":{{"persistence":{{"id":"v1"}},{VOLUME}}}'
STATIC = '"type":"STATIC"'
DYNAMIC = '"type":"DYNAMIC"'
DB = f'"reservations":[{{{DYNAMIC},"role":"db"}}]'
MUST_BE_SET = "Invalid reservation: 'Resource.ReservationInfo"
FORMAT = "Invalid resource format: 'Resource"


def one(fields: str) -> mesos.Resource:
    return msgspec.json.decode("{" + fields + "}", type=mesos.Resource)


def text_of(rule: Callable[[], object]) -> str:
    with pytest.raises(Refused) as refused:
        rule()
    return refused.value.text


# (refused, its text, allowed)
RULES = [
    ('"name":"","type":"SCALAR","scalar":{"value":1}', "Empty resource name", CPUS),
    ('"name":"x","type":"TEXT"', "Unsupported resource type", CPUS),
    ('"name":"cpus","type":"SCALAR"', "Invalid scalar resource", CPUS),
    (CPUS + ',"set":{"item":["a"]}', "Invalid scalar resource", CPUS),
    (
        '"name":"cpus","type":"SCALAR","scalar":{"value":-1}',
        "Invalid scalar resource: value <= 0",
        '"name":"cpus","type":"SCALAR","scalar":{"value":0}',
    ),
    (
        '"name":"cpus","type":"SCALAR","scalar":{"value":0.0004}',
        "Invalid scalar resource: value <= 0",
        '"name":"cpus","type":"SCALAR","scalar":{"value":0.0005}',
    ),
    (
        '"name":"cpus","type":"SCALAR","scalar":{"value":1e300}',
        "Invalid scalar resource: value <= 0",
        '"name":"cpus","type":"SCALAR","scalar":{"value":1e15}',
    ),
    (PORTS, "Invalid ranges resource", PORTS + ',"ranges":{}'),
    (
        PORTS + ',"ranges":{"range":[{"begin":2,"end":1}]}',
        "Invalid ranges resource: begin > end",
        PORTS + ',"ranges":{"range":[{"begin":2,"end":2}]}',
    ),
    (
        PORTS + ',"ranges":{"range":[{"begin":1,"end":5},{"begin":5,"end":6}]}',
        "Invalid ranges resource: overlapping ranges",
        PORTS + ',"ranges":{"range":[{"begin":6,"end":7},{"begin":1,"end":5}]}',
    ),
    ('"name":"s","type":"SET"', "Invalid set resource", '"name":"s","type":"SET","set":{}'),
    (
        '"name":"s","type":"SET","set":{"item":["a","a"]}',
        "Invalid set resource: duplicated elements",
        '"name":"s","type":"SET","set":{"item":["a","b"]}',
    ),
    (
        CPUS + f',"disk":{{{VOLUME}}}',
        "DiskInfo should not be set for cpus resource",
        DISK + f',"disk":{{{VOLUME}}}',
    ),
    (
        '"name":"disk","type":"SET","set":{},"disk":{}',
        "DiskInfo should not be set for a disk resource that is not a scalar",
        '"name":"disk","type":"SET","set":{}',
    ),
    (
        DISK + ',"disk":{"source":{"type":"BLOCK","mount":{}}}',
        "Mount should not be set for BLOCK disk source",
        DISK + ',"disk":{"source":{"type":"MOUNT","mount":{}}}',
    ),
    (
        DISK + ',"disk":{"source":{"type":"RAW","path":{}}}',
        "Path should not be set for RAW disk source",
        DISK + ',"disk":{"source":{"type":"RAW","id":"d1"}}',
    ),
    (
        DISK + ',"disk":{"source":{"type":"UNKNOWN"}}',
        "Unsupported 'DiskInfo.Source.Type' in 'UNKNOWN'",
        DISK + ',"disk":{"source":{"type":"PATH"}}',
    ),
    (CPUS + ',"role":""', "Role names cannot be the empty string", CPUS + ',"role":"a"'),
    (
        CPUS + ',"role":"a b"',
        "Role component 'a b' is invalid because it contains backspace or whitespace",
        CPUS + ',"role":"a-b"',
    ),
    (
        CPUS + f',"role":"a","reservation":{{{DYNAMIC}}}',
        "'Resource.ReservationInfo.type' must not be set for the 'Resource.reservation' field",
        CPUS + ',"role":"a","reservation":{}',
    ),
    (
        CPUS + ',"role":"a","reservation":{"role":"a"}',
        "'Resource.ReservationInfo.role' must not be set for the 'Resource.reservation' field",
        CPUS + ',"role":"a","reservation":{"principal":"p"}',
    ),
    (
        CPUS + ',"reservation":{}',
        'Invalid reservation: role "*" cannot be dynamically reserved',
        CPUS + ',"role":"*"',
    ),
    (CPUS + ',"reservations":[{"role":"a"}]', f"{MUST_BE_SET}.type' field must be set.", CPUS),
    (CPUS + f',"reservations":[{{{STATIC}}}]', f"{MUST_BE_SET}.role' field must be set.", CPUS),
    (
        CPUS + f',"reservations":[{{{STATIC},"role":"-a"}}]',
        "Role component '-a' is invalid because it starts with a dash",
        CPUS + f',"reservations":[{{{STATIC},"role":"a-"}}]',
    ),
    (
        CPUS + f',"reservations":[{{{STATIC},"role":"*"}}]',
        'Invalid reservation: role "*" cannot be reserved',
        CPUS + f',"reservations":[{{{STATIC},"role":"a"}}]',
    ),
    (
        CPUS + ',"reservations":[{"type":"UNKNOWN","role":"a"}]',
        "Unsupported 'Resource.ReservationInfo.Type'",
        CPUS + f',"reservations":[{{{DYNAMIC},"role":"a"}}]',
    ),
    (
        CPUS + f',"reservations":[{{{STATIC},"role":"a"}},{{{STATIC},"role":"a/b"}}]',
        "Invalid refined reservation: A refined reservation cannot be STATIC",
        CPUS + f',"reservations":[{{{STATIC},"role":"a"}},{{{DYNAMIC},"role":"a/b"}}]',
    ),
    (
        CPUS + f',"reservations":[{{{STATIC},"role":"a"}},{{{DYNAMIC},"role":"ab"}}]',
        "Invalid refined reservation: role 'ab' is not a refinement of 'a'",
        CPUS + f',"reservations":[{{{STATIC},"role":"a"}},{{{DYNAMIC},"role":"a/b/c"}}]',
    ),
    (
        CPUS + f',"role":"b","reservations":[{{{STATIC},"role":"a"}}]',
        f"{FORMAT}.role' field with 'b' does not match the role 'a' in 'Resource.reservations'",
        CPUS + f',"role":"a","reservations":[{{{STATIC},"role":"a"}}]',
    ),
    (
        CPUS + f',"role":"*","reservations":[{{{STATIC},"role":"a"}}]',
        f"{FORMAT}.role' field with '*' does not match the role 'a' in 'Resource.reservations'",
        CPUS + f',"reservations":[{{{STATIC},"role":"a"}}]',
    ),
    (
        CPUS + f',"role":"a","reservation":{{}},"reservations":[{{{STATIC},"role":"a"}}]',
        f"{FORMAT}.reservation' must not be set if the single reservation in"
        " 'Resource.reservations' is STATIC",
        CPUS + f',"role":"a","reservation":{{}},"reservations":[{{{DYNAMIC},"role":"a"}}]',
    ),
    (
        CPUS + f',"role":"db",{DB}',
        f"{FORMAT}.role' and 'Resource.reservation' must either be both set or both not set"
        " if the single reservation in 'Resource.reservations' is DYNAMIC",
        CPUS + f",{DB}",
    ),
    (
        CPUS + f',"role":"db","reservation":{{"principal":"p"}},{DB}',
        f"{FORMAT}.reservation.principal' field with 'p' does not match the principal ''"
        " in 'Resource.reservations'",
        CPUS + f',"role":"db","reservation":{{}},{DB}',
    ),
    (
        CPUS + f',"role":"db","reservation":{{"labels":{{"labels":[{{"key":"k"}}]}}}},{DB}',
        f"{FORMAT}.reservation.labels' field with '{{k}}' does not match the labels '{{}}'"
        " in 'Resource.reservations'",
        CPUS + f',"role":"db","reservation":{{"labels":{{}}}},{DB}',
    ),
    (
        CPUS + f',"role":"a","reservations":[{{{STATIC},"role":"a"}},{{{DYNAMIC},"role":"a/b"}}]',
        f"{FORMAT}.role' must not be set if there is more than one reservation"
        " in 'Resource.reservations'",
        CPUS + f',"reservations":[{{{STATIC},"role":"a"}},{{{DYNAMIC},"role":"a/b"}}]',
    ),
    (
        CPUS
        + f',"reservation":{{}},"reservations":[{{{STATIC},"role":"a"}},{{{DYNAMIC},"role":"a/b"}}]',
        f"{FORMAT}.reservation' must not be set if there is more than one reservation"
        " in 'Resource.reservations'",
        CPUS + f',"reservations":[{{{STATIC},"role":"a"}},{{{DYNAMIC},"role":"a/b"}}]',
    ),
    (CPUS + ',"shared":{}', "Resource cpus cannot be shared", CPUS),
    (
        DISK + ',"shared":{}',
        "Only persistent volumes can be shared",
        DISK + f',"role":"db","shared":{{}},{V1}',
    ),
]


@pytest.mark.parametrize(("bad", "text", "good"), RULES)
def test_each_rule_refuses_and_allows(bad: str, text: str, good: str) -> None:
    assert text_of(lambda: validate_resource(one(bad))) == text
    assert text_of(lambda: Resources.of([one(bad)])).endswith(f"' is invalid: {text}")
    validate_resource(one(good))
    Resources.of([one(good)])


@pytest.mark.parametrize(
    ("bad", "text"),
    [
        (
            '"name":"cpus","type":"SCALAR","scalar":{"value":1e300}',
            "Resource 'cpus:-9.22337203685478e+15' is invalid: Invalid scalar resource: value <= 0",
        ),
        (
            '"name":"cpus","type":"SCALAR","scalar":{"value":0.0001}',
            "Resource 'cpus:0' is invalid: Invalid scalar resource: value <= 0",
        ),
        (
            '"name":"cpus","type":"SCALAR"',
            "Resource 'cpus:0' is invalid: Invalid scalar resource",
        ),
        (
            '"name":"","type":"SCALAR","scalar":{"value":1}',
            "Resource ':1' is invalid: Empty resource name",
        ),
        (
            PORTS + ',"ranges":{"range":[{"begin":31000,"end":31010},{"begin":31005,"end":31020}]}',
            "Resource 'ports:[31000-31010, 31005-31020]' is invalid:"
            " Invalid ranges resource: overlapping ranges",
        ),
        (
            PORTS + ',"ranges":{"range":[{"begin":31010,"end":31000}]}',
            "Resource 'ports:[31010-31000]' is invalid: Invalid ranges resource: begin > end",
        ),
        (
            CPUS + ',"shared":{}',
            "Resource 'cpus<SHARED>:1' is invalid: Resource cpus cannot be shared",
        ),
        (
            CPUS + ',"role":"web","disk":{"persistence":{"id":"v"},'
            '"volume":{"container_path":"v","mode":"RW"}}',
            "Resource 'cpus[v:v]:1' is invalid: DiskInfo should not be set for cpus resource",
        ),
        (
            CPUS + ',"role":"a b"',
            "Resource 'cpus:1' is invalid: Role component 'a b' is invalid"
            " because it contains backspace or whitespace",
        ),
    ],
)
def test_refusal_names_the_entry_as_mesos_prints_it(bad: str, text: str) -> None:
    assert text_of(lambda: Resources.of([one(bad)])) == text


GPUS = '"name":"gpus","type":"SCALAR","scalar":{"value":%s}'
DISK_INFO = "Invalid DiskInfo: "
PERSISTENCE = DISK + ',"role":"db","disk":{"persistence":{"id":"%s"},' + VOLUME + "}"
REVOCABLE = ',"revocable":{}'

USES = [
    (
        '"name":"","type":"SCALAR"',
        "Invalid resources: Resource ':0' is invalid: Empty resource name",
        CPUS,
    ),
    (
        GPUS % "0.5",
        "Invalid 'gpus' resource: The 'gpus' resource must be an unsigned integer",
        GPUS % "2",
    ),
    (
        DISK + f',"disk":{{{VOLUME}}}',
        DISK_INFO + "Non-persistent volume not supported",
        DISK + f',"role":"db",{V1}',
    ),
    (
        DISK + ',"disk":{}',
        DISK_INFO + "DiskInfo is set but empty",
        DISK + ',"disk":{"source":{"type":"PATH"}}',
    ),
    (
        DISK + f",{V1}",
        DISK_INFO + "Persistent volumes cannot be created from unreserved resources",
        DISK + f",{DB},{V1}",
    ),
    (
        DISK + f',"role":"db",{V1}{REVOCABLE}',
        DISK_INFO + "Persistent volumes cannot be created from revocable resources",
        DISK + f',"role":"db",{V1}',
    ),
    (
        DISK + ',"role":"db","disk":{"persistence":{"id":"v1"}}',
        DISK_INFO + "Expecting 'volume' to be set for persistent volume",
        DISK + f',"role":"db",{V1}',
    ),
    (
        DISK + ',"role":"db","disk":{"persistence":{"id":"v1"},'
        '"volume":{"container_path":"v","mode":"RW","host_path":"/h"}}',
        DISK_INFO + "Expecting 'host_path' to be unset for persistent volume",
        DISK + f',"role":"db",{V1}',
    ),
    (
        PERSISTENCE % "a/b",
        DISK_INFO + "Invalid persistence ID for persistent volume:"
        " 'a/b' contains invalid characters",
        PERSISTENCE % "a b",
    ),
    (
        CPUS + f',"role":"db","reservation":{{}}{REVOCABLE}',
        "Invalid ReservationInfo: Dynamically reserved resource cpus{REV}:1"
        " cannot be created from revocable resources",
        CPUS + f',"role":"db"{REVOCABLE}',
    ),
    (
        CPUS + f",{DB}{REVOCABLE}",
        "Invalid ReservationInfo: Dynamically reserved resource"
        " cpus(reservations: [(DYNAMIC,db)]){REV}:1 cannot be created from revocable resources",
        CPUS + f",{DB}",
    ),
]


@pytest.mark.parametrize(("bad", "text", "good"), USES)
def test_each_rule_of_use_refuses_and_allows(bad: str, text: str, good: str) -> None:
    assert text_of(lambda: validate_usable([one(bad)])) == text
    validate_usable([one(good)])


def test_halves_of_a_gpu_add_up() -> None:
    validate_usable([one(GPUS % "0.5"), one(GPUS % "0.5")])


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "ID must not be empty"),
        ("x" * (ID_LENGTH_MAX + 1), "ID must not be greater than 255 characters"),
        (".", "'.' is disallowed"),
        ("..", "'..' is disallowed"),
        ("a/b", "'a/b' contains invalid characters"),
        ("a\\b", "'a\\b' contains invalid characters"),
        ("a\nb", "'a\nb' contains invalid characters"),
    ],
)
def test_id_that_cannot_name_a_directory_is_refused(text: str, rule: str) -> None:
    assert text_of(lambda: validate_id(text)) == rule


@pytest.mark.parametrize("text", ["a", "x" * ID_LENGTH_MAX, "...", "a b", "ü"])
def test_other_ids_are_accepted(text: str) -> None:
    validate_id(text)


SHARED = ',"shared":{}'
NOT_DISK = "Resource cpus:1 does not have DiskInfo"

SETS: list[
    tuple[Callable[[Iterable[mesos.Resource]], None], tuple[str, ...], str, tuple[str, ...]]
] = [
    (
        validate_unique_persistence_ids,
        (DISK + f',"role":"db",{V1}', DISK + f',"role":"db",{V1}'),
        "Persistence ID 'v1' is not unique",
        (DISK + f',"role":"db",{V1}', DISK + f',"role":"web",{V1}'),
    ),
    (
        validate_unique_persistence_ids,
        (DISK + f",{DB},{V1}{SHARED}", DISK + f",{DB},{V1}"),
        "Persistence ID 'v1' is not unique",
        (DISK + f",{DB},{V1}{SHARED}", DISK + f",{DB},{V1}{SHARED}", CPUS),
    ),
    (
        validate_no_revocable_mix,
        (CPUS, CPUS + REVOCABLE),
        "Cannot use both revocable and non-revocable 'cpus' at the same time",
        (CPUS + REVOCABLE, DISK),
    ),
    (validate_persistent_volumes, (CPUS,), NOT_DISK, (DISK + f",{DB},{V1}",)),
    (
        validate_persistent_volumes,
        (DISK + ',"disk":{}',),
        "'persistence' is not set in DiskInfo",
        (),
    ),
    (
        validate_persistent_volumes,
        (DISK + ',"disk":{"persistence":{"id":"v"}}',),
        "Expecting 'volume' to be set for persistent volume",
        (),
    ),
    (
        validate_persistent_volumes,
        (DISK + ',"disk":{"persistence":{"id":"v"},"volume":{"container_path":"v","mode":"RO"}}',),
        "Read-only persistent volume not supported",
        (DISK + f",{V1}",),
    ),
    (
        validate_single_provider,
        (CPUS + ',"provider_id":{"value":"a"}', DISK),
        "Some resources have a resource provider and some do not",
        (CPUS, DISK),
    ),
    (
        validate_single_provider,
        (CPUS + ',"provider_id":{"value":"b"}', CPUS + ',"provider_id":{"value":"a"}'),
        "The resources have multiple resource providers: a, b",
        (CPUS + ',"provider_id":{"value":"a"}', CPUS + ',"provider_id":{"value":"a"}'),
    ),
    (validate_single_provider, (), "The resources have multiple resource providers: ", (CPUS,)),
]


@pytest.mark.parametrize(("rule", "bad", "text", "good"), SETS)
def test_each_rule_of_a_whole_list_refuses_and_allows(
    rule: Callable[[Iterable[mesos.Resource]], None],
    bad: tuple[str, ...],
    text: str,
    good: tuple[str, ...],
) -> None:
    assert text_of(lambda: rule([one(fields) for fields in bad])) == text
    rule([one(fields) for fields in good])
