"""SUBSCRIBE and UPDATE_FRAMEWORK: everything that a FrameworkInfo can have wrong."""

from __future__ import annotations

from collections.abc import Iterator

from tepui.master.core import caps
from tepui.wire import json, protobuf, scheduler
from tests.scripts.tables.case import PROTOBUF, Case, Fields, Section, case, compact, large
from tests.scripts.tables.master import AWAY, GONE, STREAM, WEB

MULTI_ROLE = [{"type": "MULTI_ROLE"}]
TINY = 5e-324  # the smallest double, which is subnormal

BAD_ROLES = (
    "",
    "/",
    "/a",
    "a/",
    "a//b",
    ".",
    "..",
    "a/./b",
    "a/../b",
    "a/*",
    "*/a",
    "-a",
    "a/-b",
    "a b",
    "a\tb",
    "a\nb",
    "a\u007fb",
)
BAD_IDS = (".", "..", "a/b", "/", "a\\b", "a\nb", "\u0000", "x\u007f", "x" * 256)


def info(**fields: object) -> Fields:
    """A right FrameworkInfo but for `fields`; None takes one away."""
    whole: Fields = {
        "user": "root",
        "name": "n",
        "roles": ["web"],
        "capabilities": MULTI_ROLE,
        **fields,
    }
    return {name: value for name, value in whole.items() if value is not None}


def subscribe(**fields: object) -> Fields:
    """A SUBSCRIBE with that FrameworkInfo."""
    return {"type": "SUBSCRIBE", "subscribe": {"framework_info": info(**fields)}}


def bad_infos() -> Iterator[tuple[str, Fields]]:
    """Every rule for FrameworkInfo, broken."""
    yield "roles without MULTI_ROLE", {"capabilities": None}
    yield "role with MULTI_ROLE", {"role": "web", "roles": None}
    yield "role and roles", {"role": "web"}
    yield "a role twice", {"roles": ["web", "a", "web", "a"]}
    for role in BAD_ROLES:
        yield "roles with a name that is none", {"roles": ["web", role]}
    for role in BAD_ROLES[1:]:
        yield "role with a name that is none", {"capabilities": None, "roles": None, "role": role}
    for seconds in ("Infinity", "-Infinity", 1e300, 9223372037):
        yield "failover_timeout beyond 292 years", {"failover_timeout": seconds}
    for name in ("user", "name"):
        yield f"{name} with a null byte", {name: "a\u0000b"}
    for amounts, what in (
        ({}, "no quantity"),
        ({"cpus": {"value": -1}}, "a negative quantity"),
        ({"cpus": {"value": "Infinity"}}, "an infinite quantity"),
        ({"cpus": {"value": TINY}}, "a subnormal quantity"),
    ):
        least: Fields = {"quantities": [{"quantities": amounts}]}
        yield (
            f"offer_filters with {what}",
            {"offer_filters": {"web": {"min_allocatable_resources": least}}},
        )


def _options() -> Iterator[tuple[str, Fields]]:
    """Every rule for what comes beside FrameworkInfo, broken."""
    for role in ("ads", "", "a b", "*"):
        yield "suppressed_roles that the framework does not have", {"suppressed_roles": [role]}
    for title, of_role in (
        ("for a role that the framework does not have", {"ads": {}}),
        ("without groups", {"web": {}}),
        ("with an empty group", {"web": {"groups": [{}]}}),
        ("without a selector's name", _constraint({}, {"exists": {}})),
        (
            "with an unknown pseudoattribute",
            _constraint({"pseudoattribute_type": "UNKNOWN"}, {"exists": {}}),
        ),
        ("without a predicate", _constraint({"attribute_name": "a"}, {})),
        (
            "with a regex that is none",
            _constraint({"attribute_name": "a"}, {"text_matches": {"regex": "("}}),
        ),
        (
            "with a regex that looks behind",
            _constraint({"attribute_name": "a"}, {"text_not_matches": {"regex": "(?<=a)b"}}),
        ),
        (
            "with a regex that is too large",
            _constraint(
                {"attribute_name": "a"}, {"text_matches": {"regex": "((a{100}){100}){100}"}}
            ),
        ),
    ):
        yield f"offer_constraints {title}", {"offer_constraints": {"role_constraints": of_role}}


def _constraint(selector: Fields, predicate: Fields) -> Fields:
    constraint = {"selector": selector, "predicate": predicate}
    return {"web": {"groups": [{"attribute_constraints": [constraint]}]}}


def subscribe_cases() -> list[Section]:
    """What can be wrong with SUBSCRIBE, beside its form."""
    return [
        Section("Whose id", list(_ids())),
        Section("Headers", list(_headers())),
        Section(
            "FrameworkInfo",
            [case(title, subscribe(**fields)) for title, fields in bad_infos()]
            + [_nan("failover_timeout NaN")],
        ),
        Section("Beside FrameworkInfo", [case(title, _beside(more)) for title, more in _options()]),
        Section("How much", list(_sizes())),
        Section("Odd, but accepted as in Mesos", list(_accepted())),
    ]


def _beside(more: Fields) -> Fields:
    return {"type": "SUBSCRIBE", "subscribe": {"framework_info": info(), **more}}


def _ids() -> Iterator[Case]:
    web = {"value": WEB}
    yield case("the id only in the call", {**subscribe(), "framework_id": web})
    yield case("the id only in FrameworkInfo", subscribe(id=web))
    yield case("two different ids", {**subscribe(id=web), "framework_id": {"value": "other"}})
    for odd in BAD_IDS:
        named = {"value": odd}
        yield case("an id that cannot be the name of a directory", _as(named))
    yield case("the id of a framework that was torn down", _as({"value": GONE}))
    principal = {**subscribe(id=web, principal="someone"), "framework_id": web}
    yield case("a known id with another principal", principal)
    yield case("somebody else's principal", subscribe(principal="bob"), principal="alice")
    yield case(
        "a second SUBSCRIBE with a known id takes the place of the first", _as(web), effect=True
    )
    yield case("the id of a framework that is not connected", _as({"value": AWAY}), effect=True)


def _as(framework_id: Fields) -> Fields:
    return {**subscribe(id=framework_id), "framework_id": framework_id}


def _headers() -> Iterator[Case]:
    for stream in (STREAM, "nope", ""):
        yield case("a stream id", subscribe(), headers={"Mesos-Stream-Id": stream})
    for accept in (
        "text/html",
        "application/recordio",
        "application/json;q=0",
        "application/json;q=0, application/x-protobuf;q=0",
        "application/json;q=x",
        "*/*;q=0",
        "json",
        "",
        ";",
    ):
        yield case("an Accept that allows nothing we have", subscribe(), headers={"Accept": accept})
    wrong = {"Accept": "text/html", "Content-Type": "text/html"}
    yield case("Content-Type is looked at first", subscribe(), headers=wrong)
    both = {"Accept": "text/html", "Mesos-Stream-Id": "x"}
    yield case("then the body", {"type": "SUBSCRIBE"}, headers=both)
    yield case("then Accept", subscribe(), headers=both)


def _nan(title: str) -> Case:
    """Only protobuf can carry one, and there the decoder refuses it."""
    call = json.decode(scheduler.Call, compact(subscribe(failover_timeout=1.5)))
    body = protobuf.encode(call)
    number = bytes.fromhex("000000000000f83f")  # 1.5
    assert number in body
    body = body.replace(number, bytes.fromhex("000000000000f87f"))
    return Case(title=title, body=body, headers={"Content-Type": PROTOBUF})


def _sizes() -> Iterator[Case]:
    """The last that is accepted and the first that is refused."""
    for count in (caps.ROLES_MAX, caps.ROLES_MAX + 1):
        roles = [f"role-{number}" for number in range(count)]
        accepted = count == caps.ROLES_MAX
        yield large(f"{count} roles", subscribe(roles=roles), effect=accepted)
    for size in (caps.ROLE_BYTES_MAX, caps.ROLE_BYTES_MAX + 1):
        accepted = size == caps.ROLE_BYTES_MAX
        yield large(f"a role of {size} bytes", subscribe(roles=["x" * size]), effect=accepted)
    name = "x" * caps.FRAMEWORK_BYTES_MAX
    yield large("a FrameworkInfo that is too large", subscribe(name=name))
    constraint = {"selector": {"attribute_name": "a"}, "predicate": {"exists": {}}}
    for count in (caps.CONSTRAINTS_MAX, caps.CONSTRAINTS_MAX + 1):
        groups = [{"attribute_constraints": [constraint] * count}]
        constraints = {"role_constraints": {"web": {"groups": groups}}}
        accepted = count == caps.CONSTRAINTS_MAX
        call = _beside({"offer_constraints": constraints})
        yield large(f"{count} constraints", call, effect=accepted)


def _accepted() -> Iterator[Case]:
    for title, fields in (
        ("an empty user", {"user": ""}),
        ("an empty name", {"name": ""}),
        ("a negative failover_timeout", {"failover_timeout": -1}),
        ("no roles", {"roles": []}),
        ("a capability that nobody knows", {"capabilities": [*MULTI_ROLE, {"type": "NOPE"}]}),
        ("a capability without type", {"capabilities": [*MULTI_ROLE, {}]}),
        ("an empty id", {"id": {"value": ""}}),
        ("an id that nobody knows", {"id": {"value": "x" * 255}}),
    ):
        ids = {"framework_id": fields["id"]} if "id" in fields else {}
        yield case(title, {**subscribe(**fields), **ids}, effect=True)


def update_framework_cases() -> Iterator[Case]:
    """What WEB may not become."""

    def call(changed: Fields, beside: Fields | None = None) -> Fields:
        now: Fields = {"name": "web", "failover_timeout": 3600, "id": {"value": WEB}}
        described = info(**{**now, **changed})
        return {
            "type": "UPDATE_FRAMEWORK",
            "framework_id": {"value": WEB},
            "update_framework": {"framework_info": described, **(beside or {})},
        }

    for framework_id in (None, {"value": ""}, {"value": "other"}):
        title = "an id in FrameworkInfo that is not the caller's"
        yield case(title, call({"id": framework_id}))
    yield case("another user", call({"user": "nobody"}))
    yield case("another principal", call({"principal": "someone"}))
    yield case("another checkpoint", call({"checkpoint": True}))
    for title, broken in bad_infos():
        yield case(title, call(broken))
    for title, more in _options():
        yield case(title, call({}, more))
