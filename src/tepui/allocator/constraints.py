"""Offer constraints: which agents a framework wants offers of, by role.

A role's constraints are groups; an agent is wanted when it meets all constraints of one group. A
text predicate holds for every attribute that is not a text, whether it asks for equality or
against it: only text can be told apart.

(Mesos: allocator/mesos/offer_constraints_filter.cpp)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tepui.allocator.regex import compile_pattern
from tepui.allocator.terms import AgentTerms, region, zone
from tepui.base.errors import Refused
from tepui.base.names import Role
from tepui.wire import mesos, scheduler

Constraint = scheduler.AttributeConstraint
Group = scheduler.OfferConstraints.RoleConstraints.Group
Pseudo = scheduler.AttributeConstraint.Selector.PseudoattributeType

Selected = str | mesos.Attribute | None  # a pseudoattribute, an attribute, or none of that name
Select = Callable[[AgentTerms], Selected]
Holds = Callable[[Selected], bool]
Test = Callable[[AgentTerms], bool]


def validate_constraints(
    constraints: scheduler.OfferConstraints | None, roles: Iterable[Role]
) -> None:
    """`constraints` can be followed for a framework in `roles`; otherwise `Refused` says why."""
    if constraints is not None:
        known = set(roles)
        for role in constraints.role_constraints:
            if role not in known:
                raise Refused(
                    f"Offer constraints specify `role_constraints` for a role '{role}'"
                    "not contained in the set of roles"
                )
        compile_constraints(constraints)


def compile_constraints(constraints: scheduler.OfferConstraints | None) -> dict[Role, Test]:
    """By role, whether an agent is excluded; raises `Refused` for what cannot be followed."""
    if constraints is None:
        return {}
    try:
        return {
            Role(role): RoleExcludes(role, of_role.groups)
            for role, of_role in constraints.role_constraints.items()
        }
    except Refused as error:
        raise Refused(f"Offer constraints are not valid: {error.text}") from None


class RoleExcludes:
    """Whether an agent is excluded; an object, not a closure, so that a state can be pickled."""

    __slots__ = ("_groups", "_role", "_tests")

    def __init__(self, role: str, groups: tuple[Group, ...]) -> None:
        self._role = role
        self._groups = groups
        self._tests = _compiled(role, groups)

    def __call__(self, agent: AgentTerms) -> bool:
        return not any(all(test(agent) for test in tests) for tests in self._tests)

    def __reduce__(self) -> tuple[type[RoleExcludes], tuple[str, tuple[Group, ...]]]:
        return RoleExcludes, (self._role, self._groups)


def _compiled(role: str, groups: tuple[Group, ...]) -> list[list[Test]]:
    """The tests of each group; raises `Refused` for what cannot be followed."""
    if not groups:
        raise Refused(
            "'OfferConstraints::role_constraints' has an empty 'RoleConstraints::groups' "
            f"for role {role}"
        )
    compiled: list[list[Test]] = []
    for group in groups:
        if not group.attribute_constraints:
            raise Refused(
                f"'OfferConstraints::RoleConstraints::groups' for role {role}"
                "contains an empty RoleConstraints::Group"
            )
        try:
            compiled.append([_test(each) for each in group.attribute_constraints])
        except Refused as error:
            text = f"A role {role} has an invalid 'AttributeConstraint': {error.text}"
            raise Refused(text) from None
    return compiled


def _test(constraint: Constraint) -> Test:
    select = _selector(constraint.selector)
    holds = _predicate(constraint.predicate)
    return lambda agent: holds(select(agent))


def _selector(selector: Constraint.Selector) -> Select:
    name = selector.attribute_name
    if name is not None:
        return lambda agent: next((a for a in agent.attributes if a.name == name), None)
    match selector.pseudoattribute_type:
        case Pseudo.HOSTNAME:
            return lambda agent: agent.hostname
        case Pseudo.REGION:
            return lambda agent: region(agent.domain)
        case Pseudo.ZONE:
            return lambda agent: zone(agent.domain)
        case Pseudo.UNKNOWN:
            raise Refused("Unknown pseudoattribute type")
        case None:
            raise Refused(
                "Exactly one of 'AttributeConstraint::Selector::name' or "
                "'AttributeConstraint::Selector::pseudoattribute_type' must be set"
            )


def _predicate(predicate: Constraint.Predicate) -> Holds:
    if predicate.exists is not None:
        return lambda selected: selected is not None
    if predicate.not_exists is not None:
        return lambda selected: selected is None
    if predicate.text_equals is not None:
        equal = predicate.text_equals.value
        return _text(lambda text: text == equal, absent=False)
    if predicate.text_not_equals is not None:
        unequal = predicate.text_not_equals.value
        return _text(lambda text: text != unequal, absent=True)
    if predicate.text_matches is not None:
        pattern = compile_pattern(predicate.text_matches.regex)
        return _text(lambda text: pattern.fullmatch(text) is not None, absent=False)
    if predicate.text_not_matches is not None:
        against = compile_pattern(predicate.text_not_matches.regex)
        return _text(lambda text: against.fullmatch(text) is None, absent=True)
    raise Refused("Unknown predicate type")


def _text(says: Callable[[str], bool], *, absent: bool) -> Holds:
    """What `says` of a text; `absent` where there is nothing, true where there is no text."""

    def holds(selected: Selected) -> bool:
        if selected is None:
            return absent
        if isinstance(selected, str):
            return says(selected)
        return selected.text is None or says(selected.text.value)

    return holds
