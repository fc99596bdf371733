"""Filter offers, suppressed and revived roles."""

from __future__ import annotations

from tepui.allocator import Allocator, check
from tepui.allocator.expiry import REFUSE_MS_MAX, STALE_MIN
from tepui.allocator.filters import FILTERS_PER_AGENT_MAX
from tepui.base.names import AgentId, FrameworkId, Role
from tepui.resources import Resources
from tests.allocator.kit import AGENT, agent, framework, give_back, grants, offered, terms


def one(refuse_ms: int | None = 5000) -> tuple[Allocator, FrameworkId]:
    """One framework that has declined the only agent."""
    allocator = Allocator()
    framework_id = framework(allocator, "f1", "ads", "web")
    agent(allocator, "a1")
    for grant in grants(allocator):
        give_back(allocator, grant, refuse_ms=refuse_ms)
    for grant in grants(allocator):  # in the other role
        give_back(allocator, grant, refuse_ms=refuse_ms)
    return allocator, framework_id


def test_declined_agent_is_offered_again_when_the_time_is_over() -> None:
    allocator, _ = one(refuse_ms=5000)
    assert offered(allocator, 4999) == []
    assert allocator.next_due_ms() == 5000
    assert offered(allocator, 5000) == [("f1", "a1")]


def test_offer_declined_for_no_time_comes_again_at_once() -> None:
    for refuse_ms in (0, None):
        allocator, _ = one(refuse_ms=refuse_ms)
        assert allocator.next_due_ms() is None
        assert offered(allocator) == [("f1", "a1")]


def test_declined_agent_goes_to_the_next_framework() -> None:
    allocator = Allocator()
    framework(allocator, "f1")
    framework(allocator, "f2")
    agent(allocator, "a1")
    (grant,) = grants(allocator)
    give_back(allocator, grant, refuse_ms=5000)
    assert offered(allocator) == [("f2", "a1")]


def test_filter_of_one_role_does_not_bind_the_other() -> None:
    allocator = Allocator()
    framework(allocator, "f1", "ads", "web")
    agent(allocator, "a1")
    (first,) = grants(allocator)
    give_back(allocator, first, refuse_ms=5000)
    (second,) = grants(allocator)
    assert (first.role, second.role) == ("ads", "web")


def test_filter_does_not_hold_back_more_than_was_declined() -> None:
    allocator = Allocator()
    framework(allocator, "f1")
    agent(allocator, "a1", AGENT, used={("f2", "web"): "cpus:1"})
    (grant,) = grants(allocator)
    give_back(allocator, grant, refuse_ms=5000)
    assert offered(allocator) == []
    allocator.recover(
        FrameworkId("f2"),
        Role("web"),
        AgentId("a1"),
        Resources.of_scalars(cpus=1000),
        refuse_ms=None,
        now_ms=0,
    )
    assert offered(allocator) == [("f1", "a1")]


def test_filter_holds_back_less_than_was_declined() -> None:
    allocator = Allocator()
    framework(allocator, "f1")
    agent(allocator, "a1")
    (grant,) = grants(allocator)
    give_back(allocator, grant, refuse_ms=5000)
    framework(allocator, "f2", "web")
    (grant,) = grants(allocator)
    give_back(allocator, grant, part="cpus:1;mem:64", refuse_ms=9000)
    assert offered(allocator) == []


def test_filter_ends_after_a_year_at_the_latest() -> None:
    allocator, _ = one(refuse_ms=10**18)
    assert allocator.next_due_ms() == REFUSE_MS_MAX


def test_revived_role_has_declined_nothing() -> None:
    allocator, framework_id = one()
    allocator.revive(framework_id, [Role("web")])
    (grant,) = grants(allocator)
    assert grant.role == "web"


def test_revive_without_roles_is_of_all_roles() -> None:
    allocator, framework_id = one()
    allocator.revive(framework_id)
    (grant,) = grants(allocator)
    assert grant.role == "ads"
    assert allocator.next_due_ms() is None


def test_suppressed_role_gets_no_offers_until_revived() -> None:
    allocator = Allocator()
    framework_id = framework(allocator, "f1", "ads", "web")
    allocator.suppress(framework_id, [Role("ads")])
    agent(allocator, "a1")
    (grant,) = grants(allocator)
    assert grant.role == "web"
    allocator.suppress(framework_id)
    give_back(allocator, grant)
    assert offered(allocator) == []
    allocator.revive(framework_id, [Role("ads")])
    (grant,) = grants(allocator)
    assert grant.role == "ads"


def test_role_suppressed_from_the_start_gets_no_offers() -> None:
    allocator = Allocator()
    framework_id = framework(allocator, "f1", "ads", suppressed=("ads",))
    agent(allocator, "a1")
    assert offered(allocator) == []
    allocator.revive(framework_id)
    assert offered(allocator) == [("f1", "a1")]


def test_roles_that_a_framework_does_not_have_are_neither_suppressed_nor_revived() -> None:
    allocator, framework_id = one()
    allocator.suppress(framework_id, [Role("nobody")])
    allocator.revive(framework_id, [Role("nobody")])
    assert offered(allocator) == []


def test_framework_that_disconnects_forgets_what_it_declined() -> None:
    allocator, framework_id = one()
    allocator.deactivate_framework(framework_id)
    assert offered(allocator, 10_000) == []
    allocator.activate_framework(framework_id)
    assert offered(allocator, 0) == [("f1", "a1")]


def test_role_no_longer_suppressed_by_an_update_has_declined_nothing() -> None:
    allocator, framework_id = one()
    allocator.update_framework(framework_id, terms("ads", "web", suppressed=("ads",)))
    assert offered(allocator) == []
    allocator.update_framework(framework_id, terms("ads", "web"))
    (grant,) = grants(allocator)
    assert grant.role == "ads"


def test_update_that_changes_no_role_leaves_filters_in_force() -> None:
    allocator, framework_id = one()
    allocator.update_framework(framework_id, terms("ads", "web", capabilities=("GPU_RESOURCES",)))
    assert offered(allocator) == []


def test_filters_of_one_agent_are_merged() -> None:
    allocator = Allocator()
    framework(allocator, "f1")
    agent(allocator, "a1", "cpus:40;mem:4096")
    (grant,) = grants(allocator)
    give_back(allocator, grant, part="cpus:1;mem:64", refuse_ms=9000)
    give_back(allocator, grant, part="cpus:1;mem:64", refuse_ms=5000)  # says less
    assert allocator.expiry.in_force == 1
    give_back(allocator, grant, part="cpus:2;mem:64", refuse_ms=9000)  # says more
    assert allocator.expiry.in_force == 1
    for shorter_ms in range(10):  # larger, but ending earlier
        part = f"cpus:1;mem:{100 + shorter_ms}"
        give_back(allocator, grant, part=part, refuse_ms=8000 - shorter_ms)
    assert allocator.expiry.in_force <= FILTERS_PER_AGENT_MAX


def test_filters_that_were_cleared_do_not_pile_up() -> None:
    allocator = Allocator()
    framework_id = framework(allocator, "f1")
    agent(allocator, "a1")
    for _ in range(2 * STALE_MIN):
        (grant,) = allocator.allocate(0, 1)
        allocator.recover(
            grant.framework_id,
            grant.role,
            grant.agent_id,
            grant.resources,
            refuse_ms=REFUSE_MS_MAX,
            now_ms=0,
        )
        allocator.revive(framework_id)
    check(allocator)  # asserts the limit


def test_offer_declined_again_is_held_back_for_the_longer_time() -> None:
    allocator = Allocator()
    framework(allocator, "f1")
    agent(allocator, "a1", "cpus:4;mem:4096")
    (grant,) = grants(allocator)
    give_back(allocator, grant, part="cpus:2;mem:2048", refuse_ms=1000)
    give_back(allocator, grant, part="cpus:2;mem:2048", refuse_ms=9000)
    (grant,) = grants(allocator)  # more than either was
    give_back(allocator, grant, part="cpus:2;mem:2048", refuse_ms=5000)
    assert offered(allocator, 8999) == []
    assert len(offered(allocator, 9000)) == 1


def test_longer_filter_outlives_a_larger_one() -> None:
    allocator = Allocator()
    framework(allocator, "f1", "ads")
    agent(allocator, "a1", "cpus:4;mem:4096")
    (grant,) = grants(allocator)
    give_back(allocator, grant, part="cpus:1;mem:64", refuse_ms=9000)
    give_back(allocator, grant, part="cpus:1;mem:64", refuse_ms=500)
    give_back(allocator, grant, part="cpus:2;mem:64", refuse_ms=1000)
    assert allocator.expiry.in_force == 2
    (rest,) = grants(allocator)
    give_back(allocator, rest, part="cpus:1;mem:64")
    assert offered(allocator, 8999) == []
    assert len(offered(allocator, 9000)) == 1


def test_filters_that_end_at_once_end_in_slices() -> None:
    allocator = Allocator()
    framework(allocator, "f1")
    for number in range(20):
        agent(allocator, f"a{number}")
    for grant in grants(allocator):
        give_back(allocator, grant, refuse_ms=5000)
    assert offered(allocator) == []
    assert allocator.allocate(5000, 0) == []
    slices = 0
    found = 0
    while allocator.pending() or allocator.next_due_ms() == 5000:
        found += len(allocator.allocate(5000, 2))
        check(allocator)
        slices += 1
    assert (found, slices) == (20, 10)


def test_framework_that_disconnects_has_no_filters_left_to_end() -> None:
    allocator, framework_id = one()
    allocator.deactivate_framework(framework_id)
    assert allocator.next_due_ms() is None
    assert allocator.expiry.in_force == 0
