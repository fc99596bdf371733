"""Offer constraints; the cases are those Mesos was seen to decide."""

from __future__ import annotations

import pytest

from tepui.allocator import Allocator, validate_constraints
from tepui.base.errors import Refused
from tepui.base.names import AgentId, FrameworkId, Role
from tepui.resources import parse_attributes
from tepui.wire import scheduler
from tests.allocator.kit import (
    Constraint,
    Predicate,
    RoleConstraints,
    Selector,
    agent,
    domain,
    framework,
    offered,
    terms,
)

HOSTNAME = Selector(pseudoattribute_type=Selector.PseudoattributeType.HOSTNAME)
REGION = Selector(pseudoattribute_type=Selector.PseudoattributeType.REGION)
ZONE = Selector(pseudoattribute_type=Selector.PseudoattributeType.ZONE)
ANYTHING = Predicate(exists=Predicate.Exists())
NOTHING = Predicate(not_exists=Predicate.NotExists())
ATTRIBUTES = "rack:r1;zone:a;num:5;rng:[1-3]"


def named(name: str) -> Selector:
    return Selector(attribute_name=name)


def equals(value: str) -> Predicate:
    return Predicate(text_equals=Predicate.TextEquals(value=value))


def differs(value: str) -> Predicate:
    return Predicate(text_not_equals=Predicate.TextNotEquals(value=value))


def matches(regex: str) -> Predicate:
    return Predicate(text_matches=Predicate.TextMatches(regex=regex))


def avoids(regex: str) -> Predicate:
    return Predicate(text_not_matches=Predicate.TextNotMatches(regex=regex))


def groups(*groups: tuple[tuple[Selector, Predicate], ...]) -> scheduler.OfferConstraints:
    """Constraints of role 'ads'."""
    return scheduler.OfferConstraints(
        role_constraints={
            "ads": RoleConstraints(
                groups=tuple(
                    RoleConstraints.Group(
                        attribute_constraints=tuple(
                            Constraint(selector=selector, predicate=predicate)
                            for selector, predicate in group
                        )
                    )
                    for group in groups
                )
            )
        }
    )


def is_offered(constraints: scheduler.OfferConstraints) -> bool:
    """Whether an agent with ATTRIBUTES and without a domain is offered."""
    validate_constraints(constraints, [Role("ads")])
    allocator = Allocator()
    framework(allocator, "f1", constraints=constraints)
    agent(allocator, "a1", attributes=parse_attributes(ATTRIBUTES))
    return bool(offered(allocator))


@pytest.mark.parametrize(
    ("selector", "predicate", "wanted"),
    [
        (named("rack"), equals("r1"), True),
        (named("rack"), equals("r2"), False),
        (named("rack"), differs("r2"), True),
        (named("rack"), differs("r1"), False),
        (named("rack"), ANYTHING, True),
        (named("rack"), NOTHING, False),
        (named("rack"), matches("r"), False),
        (named("rack"), matches("r."), True),
        (named("rack"), avoids("x"), True),
        (named("rack"), avoids("r[0-9]"), False),
        (named("nope"), equals("r1"), False),
        (named("nope"), differs("r2"), True),
        (named("nope"), matches(".*"), False),
        (named("nope"), avoids(".*"), True),
        (named("nope"), NOTHING, True),
        # What is no text cannot be told apart: both hold.
        (named("num"), equals("5"), True),
        (named("num"), differs("5"), True),
        (named("rng"), matches("x"), True),
        (named("rng"), avoids(".*"), True),
        (HOSTNAME, equals("a1.example"), True),
        (HOSTNAME, equals("a2.example"), False),
        (HOSTNAME, matches(r"a\d+\.example"), True),
        (REGION, ANYTHING, False),
        (ZONE, NOTHING, True),
    ],
)
def test_constraint_decides_about_an_agent(
    selector: Selector, predicate: Predicate, *, wanted: bool
) -> None:
    assert is_offered(groups(((selector, predicate),))) is wanted


def test_one_group_suffices_and_takes_all_its_constraints() -> None:
    wrong = (named("rack"), equals("r2"))
    right = (named("zone"), equals("a"))
    assert is_offered(groups((wrong,), (right,)))
    assert not is_offered(groups((wrong, right)))
    assert not is_offered(groups((wrong,), (right, wrong)))


def test_region_and_zone_are_those_of_the_fault_domain() -> None:
    allocator = Allocator(domain=domain("eu", "z1"))
    wanted = groups(((REGION, equals("eu")), (ZONE, equals("z2"))))
    framework(allocator, "f1", constraints=wanted)
    agent(allocator, "a1", domain=domain("eu", "z1"))
    agent(allocator, "a2", domain=domain("eu", "z2"))
    assert offered(allocator) == [("f1", "a2")]


def test_constraints_of_one_role_leave_others_alone() -> None:
    allocator = Allocator()
    framework(allocator, "f1", "ads", "web", constraints=groups(((named("gone"), ANYTHING),)))
    agent(allocator, "a1")
    (grant,) = allocator.allocate(0, 10)
    assert grant.role == "web"


def test_changed_constraints_hold_at_once() -> None:
    allocator = Allocator()
    framework(allocator, "f1", constraints=groups(((named("rack"), equals("r2")),)))
    agent(allocator, "a1", attributes=parse_attributes(ATTRIBUTES))
    assert offered(allocator) == []
    allocator.update_framework(FrameworkId("f1"), terms(constraints=None))
    assert offered(allocator) == [("f1", "a1")]


def test_changed_attributes_hold_at_once_and_end_filters() -> None:
    allocator = Allocator()
    framework(allocator, "f1", constraints=groups(((named("rack"), equals("r2")),)))
    framework(allocator, "f2", "web")
    agent(allocator, "a1")
    (grant,) = allocator.allocate(0, 10)
    allocator.recover(
        grant.framework_id,
        grant.role,
        grant.agent_id,
        grant.resources,
        refuse_ms=5000,
        now_ms=0,
    )
    assert offered(allocator) == []
    other = allocator.agents[AgentId("a1")].terms
    moved = type(other)(hostname=other.hostname, attributes=parse_attributes("rack:r2"))
    allocator.update_agent(AgentId("a1"), terms=moved)
    assert offered(allocator) == [("f1", "a1")]
    assert allocator.expiry.in_force == 0


NOT_VALID = "Offer constraints are not valid: "
ONE_OF = (
    "A role ads has an invalid 'AttributeConstraint': Exactly one of "
    "'AttributeConstraint::Selector::name' or "
    "'AttributeConstraint::Selector::pseudoattribute_type' must be set"
)


@pytest.mark.parametrize(
    ("constraints", "text"),
    [
        (
            groups(),
            "'OfferConstraints::role_constraints' has an empty 'RoleConstraints::groups' "
            "for role ads",
        ),
        (
            groups(()),
            "'OfferConstraints::RoleConstraints::groups' for role ads"
            "contains an empty RoleConstraints::Group",
        ),
        (groups(((Selector(), ANYTHING),)), ONE_OF),
        (
            groups(((named("a"), Predicate()),)),
            "A role ads has an invalid 'AttributeConstraint': Unknown predicate type",
        ),
        (
            groups(
                ((Selector(pseudoattribute_type=Selector.PseudoattributeType.UNKNOWN), ANYTHING),)
            ),
            "A role ads has an invalid 'AttributeConstraint': Unknown pseudoattribute type",
        ),
        (
            groups(((named("rack"), matches("(")),)),
            "A role ads has an invalid 'AttributeConstraint': "
            "Failed to construct regex from pattern '(': missing ): (",
        ),
        (
            groups(((named("rack"), matches("a{1000}{1000}")),)),
            "A role ads has an invalid 'AttributeConstraint': Failed to construct regex from "
            "pattern 'a{1000}{1000}': bad repetition operator: {1000}{1000}",
        ),
        (
            groups(((named("rack"), avoids("a{200}")),)),
            "A role ads has an invalid 'AttributeConstraint': Regex 'a{200}' is too complex: "
            "program size of 204 is larger than maximum of 100 allowed",
        ),
    ],
)
def test_constraints_that_cannot_be_followed_are_refused(
    constraints: scheduler.OfferConstraints, text: str
) -> None:
    with pytest.raises(Refused) as refused:
        validate_constraints(constraints, [Role("ads")])
    assert refused.value.text == NOT_VALID + text


def test_constraints_for_a_role_the_framework_lacks_are_refused() -> None:
    with pytest.raises(Refused) as refused:
        validate_constraints(groups(((named("a"), ANYTHING),)), [Role("web")])
    assert refused.value.text == (
        "Offer constraints specify `role_constraints` for a role 'ads'"
        "not contained in the set of roles"
    )


def test_constraints_that_can_be_followed_are_taken() -> None:
    validate_constraints(None, [Role("ads")])
    validate_constraints(groups(((named(""), ANYTHING), (HOSTNAME, ANYTHING))), [Role("ads")])
    validate_constraints(groups(((named("rack"), matches("^r[0-9]$")),)), [Role("ads")])
