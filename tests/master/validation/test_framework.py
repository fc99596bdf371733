"""What a framework may say of itself, at the edges that no recorded call reaches."""

from __future__ import annotations

import pytest
from msgspec import structs

from tepui.master.core.validation import (
    capabilities,
    effective_roles,
    resubscribe_error,
    subscribe_error,
    update_error,
)
from tepui.wire import mesos

Capability = mesos.FrameworkInfo.Capability

PLAIN = mesos.FrameworkInfo(user="root", name="f")
MULTI_ROLE = mesos.FrameworkInfo(
    user="root",
    name="f",
    roles=("a", "b"),
    capabilities=(Capability(type=Capability.Type.MULTI_ROLE),),
)


def test_roles_are_those_of_the_capability() -> None:
    assert effective_roles(PLAIN) == ("*",)
    assert effective_roles(structs.replace(PLAIN, role="web")) == ("web",)
    assert effective_roles(MULTI_ROLE) == ("a", "b")


def test_unknown_capabilities_are_left_out() -> None:
    info = structs.replace(MULTI_ROLE, capabilities=(*MULTI_ROLE.capabilities, Capability()))
    assert capabilities(info) == {"MULTI_ROLE"}


def test_multi_role_framework_may_not_even_write_the_default_role() -> None:
    assert subscribe_error(structs.replace(MULTI_ROLE, role="*")) == (
        "'FrameworkInfo.role' must not be set when the framework is MULTI_ROLE capable"
    )


@pytest.mark.parametrize(
    ("timeout_s", "shown"),
    [(9.2e9, None), (9.3e9, "9.3e+09"), (-9.3e9, "-9.3e+09"), (float("nan"), "nan")],
)
def test_failover_timeout_fits_in_64_bits_of_nanoseconds(
    timeout_s: float, shown: str | None
) -> None:
    error = subscribe_error(structs.replace(PLAIN, failover_timeout=timeout_s))
    expected = None if shown is None else f"The framework failover_timeout ({shown}) is invalid"
    assert error == expected


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (0.0, None),
        (1.5, None),
        (-1.0, "Negative values not supported"),
        (float("inf"), "Infinite values not supported"),
        (float("nan"), "NaN not supported"),
        (5e-324, "Subnormal values not supported"),
    ],
)
def test_quantity_of_an_offer_filter_is_a_usable_number(value: float, error: str | None) -> None:
    quantities = mesos.OfferFilters.ResourceQuantities(
        quantities={"cpus": mesos.Value.Scalar(value)}
    )
    filters = mesos.OfferFilters(
        min_allocatable_resources=mesos.OfferFilters.MinAllocatableResources(
            quantities=(quantities,)
        )
    )
    found = subscribe_error(structs.replace(PLAIN, offer_filters={"*": filters}))
    assert found == (error and f"Invalid resource quantity for 'cpus': {error}")


def test_framework_id_becomes_a_directory() -> None:
    assert subscribe_error(structs.replace(PLAIN, id=mesos.FrameworkID("a/b"))) == (
        "'a/b' contains invalid characters"
    )
    assert subscribe_error(structs.replace(PLAIN, id=mesos.FrameworkID(""))) is None


def test_only_the_principal_binds_a_new_subscription() -> None:
    changed = structs.replace(PLAIN, user="other", checkpoint=True)
    assert resubscribe_error(PLAIN, changed) is None
    assert resubscribe_error(PLAIN, structs.replace(PLAIN, principal="p")) == (
        "Changing framework's principal is not allowed."
    )


def test_update_names_both_users() -> None:
    assert update_error(PLAIN, structs.replace(PLAIN, user="other")) == (
        "Updating 'FrameworkInfo.user' is unsupported; attempted to update from 'root' to 'other'"
    )
