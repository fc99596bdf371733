"""Role names: texts as Mesos answers them."""

from __future__ import annotations

import pytest

from tepui.base.errors import Refused
from tepui.resources.roles import ancestors, is_strict_subrole
from tepui.resources.validation import validate_role

WHITESPACE = "is invalid because it contains backspace or whitespace"


@pytest.mark.parametrize("name", ["*", "a", "web/dev", "a-b", "a.b", "...", "a*", "ü", "a\x01"])
def test_valid_role_is_accepted(name: str) -> None:
    validate_role(name)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("", "Role names cannot be the empty string"),
        ("/a", "Role '/a' cannot start with a slash"),
        ("a/", "Role 'a/' cannot end with a slash"),
        ("/", "Role '/' cannot start with a slash"),
        ("a//b", "Role 'a//b' cannot contain two adjacent slashes"),
        (".", "Role '.' cannot include '.' as a component"),
        ("..", "Role '..' cannot include '..' as a component"),
        ("a/.", "Role 'a/.' cannot include '.' as a component"),
        ("a/../b", "Role 'a/../b' cannot include '..' as a component"),
        ("a/*", "Role 'a/*' cannot include '*' as a component"),
        ("*/a", "Role '*/a' cannot include '*' as a component"),
        ("-a", "Role component '-a' is invalid because it starts with a dash"),
        ("a/-b", "Role component '-b' is invalid because it starts with a dash"),
        ("a b", f"Role component 'a b' {WHITESPACE}"),
        ("a\tb", f"Role component 'a\tb' {WHITESPACE}"),
        ("x/a\nb", f"Role component 'a\nb' {WHITESPACE}"),
        ("a\x7f", f"Role component 'a\x7f' {WHITESPACE}"),
    ],
)
def test_invalid_role_is_refused_with_the_rule(name: str, text: str) -> None:
    with pytest.raises(Refused) as refused:
        validate_role(name)
    assert refused.value.text == text


def test_subroles_are_told_by_whole_components() -> None:
    assert is_strict_subrole("a/b", "a")
    assert is_strict_subrole("a/b/c", "a")
    assert not is_strict_subrole("a", "a")
    assert not is_strict_subrole("ab", "a")
    assert not is_strict_subrole("ab/c", "a")


def test_ancestors_come_nearest_first() -> None:
    assert ancestors("a/b/c") == ("a/b", "a")
    assert ancestors("a") == ()
