"""Credentials as Docker's config.json has them, and how servers ask for them."""

from __future__ import annotations

import base64
import json

import pytest

from tepui.agent.containers.images.challenges import Challenge, challenges_of
from tepui.agent.containers.images.credentials import Credential, Credentials
from tepui.agent.containers.images.errors import Fault


def auth(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def of(config: object, registry: str) -> Credential | None:
    return Credentials(json.dumps(config)).of(registry)


@pytest.mark.parametrize(
    ("key", "registry"),
    [
        ("https://index.docker.io/v1/", "docker.io"),
        ("docker.io", "registry-1.docker.io"),
        ("example.org:5000", "example.org:5000"),
        ("https://example.org/v2/", "example.org"),
        ("http://localhost:5000", "localhost:5000"),
    ],
)
def test_credentials_are_found_by_registry(key: str, registry: str) -> None:
    config = {"auths": {key: {"auth": auth("ann:pass:word")}}}
    assert of(config, registry) == Credential("ann", "pass:word")
    assert of(config, "elsewhere.org") is None


def test_all_forms_of_an_entry_are_read() -> None:
    auths = {
        "a.org": {"username": "ann", "password": "word"},
        "b.org": {"auth": auth("<token>:"), "identitytoken": "long"},
        "c.org": {"registrytoken": "as it is"},
        "d.org": {},
    }
    assert of({"auths": auths}, "a.org") == Credential("ann", "word")
    assert of({"auths": auths}, "b.org") == Credential("<token>", "", "long")
    assert of({"auths": auths}, "c.org") == Credential(registry_token="as it is")
    assert of({"auths": auths}, "d.org") is None
    assert of({"a.org": {"auth": auth("ann:word")}}, "a.org") == Credential("ann", "word")
    assert Credentials(None).of("a.org") is None


def test_programs_that_keep_credentials_are_refused_only_where_they_count() -> None:
    config = {"auths": {"b.org": {}}, "credHelpers": {"a.org": "ecr-login"}, "credsStore": "desk"}
    with pytest.raises(
        Fault, match=r"`credHelpers` .* 'docker-credential-ecr-login', which is not run"
    ):
        of(config, "a.org")
    with pytest.raises(Fault, match="`credsStore`"):
        of(config, "b.org")
    assert of(config, "c.org") is None


@pytest.mark.parametrize(
    "text",
    ["{", "[]", '{"auths": 1}', '{"auths": {"a.org": {"auth": "secret!"}}}', "x" * (1 << 21)],
)
def test_what_is_no_config_is_refused_without_being_quoted(text: str) -> None:
    with pytest.raises(Fault, match="docker_config") as failed:
        Credentials(text).of("a.org")
    assert "secret" not in str(failed.value)


def test_credentials_are_never_printed() -> None:
    assert "word" not in repr(Credential("ann", "word", "word", "word"))


def test_challenges_are_read_as_far_as_they_can_be() -> None:
    bearer = 'Bearer realm="https://a.org/t",service="s, \\"x\\"",scope="repository:a:pull,push"'
    assert challenges_of([bearer]) == [
        Challenge(
            "bearer",
            {"realm": "https://a.org/t", "service": 's, "x"', "scope": "repository:a:pull,push"},
        )
    ]
    assert challenges_of(["Basic realm=here"]) == [Challenge("basic", {"realm": "here"})]
    assert challenges_of(['Negotiate, Basic realm="x"', "Bearer"]) == [
        Challenge("negotiate", {}),
        Challenge("basic", {"realm": "x"}),
        Challenge("bearer", {}),
    ]
    assert challenges_of(["", '"', "=" * 10_000]) == []
