"""The flags --resources and --attributes."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tepui.base.errors import Refused
from tepui.resources import Ranges, Resources, parse_attributes, parse_resources
from tepui.resources.convert import static_reservation
from tepui.resources.kinds import Kind, ValueType, kind_of
from tepui.wire import mesos
from tests.resources.strategies import amounts, items, laws, some_ranges

CPUS_4 = Resources.of_scalars(cpus=4000)
LAST = Resources({kind_of("ports", ValueType.RANGES): Ranges.of([(2**64 - 1, 2**64 - 1)])})
WEB = (static_reservation("web"),)


def text_of(flag: str, role: str = "*") -> str:
    with pytest.raises(Refused) as refused:
        parse_resources(flag, role)
    return refused.value.text


@pytest.mark.parametrize(
    ("flag", "expected"),
    [
        ("", Resources.empty),
        ("cpus:4", CPUS_4),
        ("cpus(*):4", CPUS_4),
        (" cpus : 4 ; ", CPUS_4),
        ("cpus:3;;cpus:1;", CPUS_4),
        ("cpus:4;mem:0", CPUS_4),
        ("cpus:4e0", CPUS_4),
        ("cpus:0x4", CPUS_4),
        ("cpus( web ):4", Resources({kind_of("cpus", ValueType.SCALAR, WEB): 4000})),
        (
            "ports:[31000-32000, 33000-33001]",
            Resources(
                {kind_of("ports", ValueType.RANGES): Ranges.of([(31000, 32000), (33000, 33001)])}
            ),
        ),
        ("ports:[18446744073709551615-18446744073709551615];cpus:4", CPUS_4 + LAST),
        ("ports:[1-3,2-5]", Resources({kind_of("ports", ValueType.RANGES): Ranges.of([(1, 5)])})),
        ("s:{a, b}", Resources({kind_of("s", ValueType.SET): frozenset("ab")})),
        ("s:{};ports:[]", Resources.empty),
    ],
)
def test_text_form(flag: str, expected: Resources) -> None:
    assert parse_resources(flag) == expected


@pytest.mark.parametrize(
    ("flag", "same"),
    [
        ("[]", ""),
        ('[{"name":"cpus","type":"SCALAR","scalar":{"value":4}}]', "cpus:4"),
        ('\n [{"name":"cpus","type":"SCALAR","scalar":{"value":4},"role":"web"}]', "cpus(web):4"),
        (
            '[{"name":"ports","type":"RANGES","ranges":{"range":[{"begin":"1","end":2}]}},'
            '{"name":"s","type":"SET","set":{"item":["a"]},'
            '"reservations":[{"type":"STATIC","role":"web"}]}]',
            "ports:[1-2];s(web):{a}",
        ),
    ],
)
def test_json_form(flag: str, same: str) -> None:
    assert parse_resources(flag) == parse_resources(same)


def test_default_role_is_for_entries_without_one() -> None:
    expected = parse_resources("cpus(web):1;mem:2;disk(db):3")
    assert parse_resources("cpus:1;mem(*):2;disk(db):3", "web") == expected
    in_json = (
        '[{"name":"cpus","type":"SCALAR","scalar":{"value":1}},'
        '{"name":"mem","type":"SCALAR","scalar":{"value":2},"role":"*"},'
        '{"name":"disk","type":"SCALAR","scalar":{"value":3},"role":"db"}]'
    )
    assert parse_resources(in_json, "web") == expected


@pytest.mark.parametrize(
    ("flag", "text"),
    [
        ("cpus", "Bad value for resources, missing or extra ':' in 'cpus'"),
        ("cpus:", "Bad value for resources, missing or extra ':' in 'cpus:'"),
        ("mem:1;cpus:1:2", "Bad value for resources, missing or extra ':' in 'cpus:1:2'"),
        ("cpus(web:4", "Bad value for resources, mismatched parentheses in 'cpus(web:4'"),
        ("cpus)web(:4", "Bad value for resources, mismatched parentheses in 'cpus)web(:4'"),
        ("cpus(web)x:4", "Bad value for resources, text after ')' in 'cpus(web)x:4'"),
        ("cpus:four", "Bad type for resource cpus value four type TEXT"),
        ("cpus:-1", "Bad type for resource cpus value -1 type TEXT"),
        ("cpus:inf", "Bad type for resource cpus value inf type TEXT"),
        ("cpus:0x1p99999", "Bad type for resource cpus value 0x1p99999 type TEXT"),
        ("cpus:٤", "Bad type for resource cpus value ٤ type TEXT"),
        ("cpus:4\t", "Bad type for resource cpus value 4\t type TEXT"),
        (
            "ports:[1-100000000000000000000]",
            "Failed to parse resource ports value [1-100000000000000000000] error"
            " Expecting non-negative integers in '100000000000000000000'",
        ),
        (
            "ports:[1-18446744073709551616]",
            "Failed to parse resource ports value [1-18446744073709551616] error"
            " Invalid ranges resource: 1-18446744073709551616 is not within uint64",
        ),
        ("cpus:1_0", "Bad type for resource cpus value 1_0 type TEXT"),
        ("cpus: ", "Failed to parse resource cpus value   error Expecting non-empty string"),
        ("ports:[1-2", "Failed to parse resource ports value [1-2 error Mismatched brackets"),
        ("ports:]1-2[", "Failed to parse resource ports value ]1-2[ error Mismatched brackets"),
        (
            "ports:[1-2-3]",
            'Failed to parse resource ports value [1-2-3] error Expecting one or more "ranges"',
        ),
        (
            "ports:[a-2]",
            "Failed to parse resource ports value [a-2] error"
            " Expecting non-negative integers in 'a'",
        ),
        (
            "ports:[2-1]",
            "Failed to parse resource ports value [2-1] error Invalid ranges resource: begin > end",
        ),
        ("x:1[2]", "Failed to parse resource x value 1[2] error Unexpected '[' found"),
        ("x:1{2}", "Failed to parse resource x value 1{2} error Unexpected '{' found"),
        (
            "x:1e-310",
            "Failed to parse resource x value 1e-310 error Subnormal values not supported",
        ),
        (
            "cpus:0.0001",
            "Resource 'cpus:0' is invalid: Invalid scalar resource: value <= 0",
        ),
        (
            "s:{a,a}",
            "Resource 's:{a, a}' is invalid: Invalid set resource: duplicated elements",
        ),
        (
            "cpus():1",
            "Resource 'cpus(reservations: [(STATIC,)]):1' is invalid:"
            " Role names cannot be the empty string",
        ),
        (" :1", "Resource ':1' is invalid: Empty resource name"),
        ("x:1;x:{a}", "Resources with the same name ('x') but different types are not allowed"),
        (
            '[{"name":"cpus","type":"SCALAR","scalar":{"value":-1}}]',
            "Resource 'cpus:-1' is invalid: Invalid scalar resource: value <= 0",
        ),
        (
            '[{"name":"cpus","type":"SCALAR","scalar":{"value":1},"revocable":{}}]',
            "Revocable resources cannot be specified at the command line;"
            " do not include a 'revocable' key in the resources JSON",
        ),
        (
            '[{"name":"cpus","type":"SCALAR","scalar":{"value":1},"role":"web","reservation":{}}]',
            "Dynamic reservations cannot be specified at the command line;"
            " do not include a reservation with DYNAMIC type in the resources JSON",
        ),
        (
            '[{"name":"disk","type":"SCALAR","scalar":{"value":1},"role":"web",'
            '"disk":{"persistence":{"id":"v"}}}]',
            "Persistent volumes cannot be specified at the command line",
        ),
    ],
)
def test_wrong_flag_is_refused_with_entry_and_rule(flag: str, text: str) -> None:
    assert text_of(flag) == text


@pytest.mark.parametrize(
    "flag", ['[{"name":"cpus"}]', '[{"name":"cpus"', "[1]", '[{"name":1}]', "[\udc80"]
)
def test_wrong_json_is_refused(flag: str) -> None:
    assert text_of(flag).startswith("Some JSON resources were not formatted properly: ")


def test_default_role_must_be_a_role() -> None:
    assert text_of("cpus:1", "a b").startswith("Role component 'a b' is invalid")


@laws
@given(amounts, some_ranges, items, st.sampled_from(((), WEB)))
def test_what_resources_print_can_be_parsed(
    amount: int,
    numbers: Ranges,
    names: frozenset[str],
    stack: tuple[mesos.Resource.ReservationInfo],
) -> None:
    resources = Resources(
        {
            Kind(name="cpus", type=ValueType.SCALAR): amount,
            Kind(name="ports", type=ValueType.RANGES): numbers,
            Kind(name="s", type=ValueType.SET): names,
        }
    )
    flag = str(resources)
    assert parse_resources(flag) == resources
    assert parse_resources(flag, "web") == resources.push_reservation(WEB[0])


@given(st.text(alphabet="cpus:4;[]{}()-, \n1.*", max_size=30))
@laws
def test_any_text_is_parsed_or_refused(flag: str) -> None:
    for parse in (parse_resources, parse_attributes):
        with suppress(Refused):
            parse(flag)


# Attributes


def text_attribute(name: str, text: str) -> mesos.Attribute:
    return mesos.Attribute(name=name, type=ValueType.TEXT, text=mesos.Value.Text(text))


def test_attributes_keep_their_order_and_find_their_types() -> None:
    assert parse_attributes("rack:r1;zone:a;num:5;rng:[1-3]") == (
        text_attribute("rack", "r1"),
        text_attribute("zone", "a"),
        mesos.Attribute(name="num", type=ValueType.SCALAR, scalar=mesos.Value.Scalar(5.0)),
        mesos.Attribute(
            name="rng",
            type=ValueType.RANGES,
            ranges=mesos.Value.Ranges(range=(mesos.Value.Range(begin=1, end=3),)),
        ),
    )


@pytest.mark.parametrize(
    ("flag", "expected"),
    [
        ("", ()),
        ("url:http://x:80/y", (text_attribute("url", "http://x:80/y"),)),
        ("a:-5", (text_attribute("a", "-5"),)),
        ("a:1.2.3", (text_attribute("a", "1.2.3"),)),
        ("a:nan", (text_attribute("a", "nan"),)),
        ("a:b c", (text_attribute("a", "bc"),)),
        ("a:b\nc:d;", (text_attribute("a", "b"), text_attribute("c", "d"))),
        ("a:b;a:c", (text_attribute("a", "b"), text_attribute("a", "c"))),
    ],
)
def test_attribute_texts(flag: str, expected: tuple[mesos.Attribute, ...]) -> None:
    assert parse_attributes(flag) == expected


@pytest.mark.parametrize(
    ("flag", "text"),
    [
        ("rack", "Invalid attribute key:value pair 'rack'"),
        ("a:b;:x", "Invalid attribute key:value pair ':x'"),
        ("rack:", "Invalid attribute key:value pair 'rack:'"),
        ("a:{x}", "Bad type for attribute a text {x} type SET"),
        ("a:[1-2", "Failed to parse attribute a text [1-2 error Mismatched brackets"),
        ("a: ", "Failed to parse attribute a text   error Expecting non-empty string"),
    ],
)
def test_wrong_attribute_is_refused(flag: str, text: str) -> None:
    with pytest.raises(Refused) as refused:
        parse_attributes(flag)
    assert refused.value.text == text
