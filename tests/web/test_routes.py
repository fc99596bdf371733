"""A path finds the longest route that it begins with."""

from __future__ import annotations

import pytest

from tepui.web.http import Answer, Request, Response
from tepui.web.routes import Routes


def handle(request: Request) -> Answer:
    return Response(200)


def table(*paths: str) -> Routes:
    routes = Routes(prefixes=("/master",))
    for path in paths:
        routes.add(path, handle)
    return routes


@pytest.mark.parametrize(
    ("path", "rest"),
    [
        ("/api/v1", ""),
        ("/api/v1.json", ""),
        ("/api/v1/x", "/x"),
        ("/api/v1.json/x", "/x"),
        ("/api/v1/" + "x" * 100, "/" + "x" * 100),
        ("/api/v1" + "/x" * 100, "/x" * 100),
        ("/api/v1x" + "/x" * 100, None),
        ("/master/api/v1" + "/x" * 100, "/x" * 100),
        ("/api", None),
        ("x" * 100, None),
        ("/" + "x" * 100, None),
    ],
)
def test_a_path_may_be_longer_than_any_route(path: str, rest: str | None) -> None:
    found = table("/api/v1").find(path)
    assert (None if found is None else found[1]) == rest


@pytest.mark.parametrize("path", ["x" * 100, "/x" * 100, "*"])
def test_the_root_takes_what_nobody_else_does(path: str) -> None:
    found = table("", "/api/v1").find(path)
    assert found is not None
    assert found[1] == path


def test_a_path_of_many_segments_is_not_looked_up_at_each(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up: list[str] = []

    class Counted(dict[str, object]):
        def get(self, key: str, default: object = None) -> object:
            looked_up.append(key)
            return super().get(key, default)

    routes = table("/api/v1/scheduler")
    monkeypatch.setattr(routes, "_routes", Counted(routes._routes))
    assert routes.find("/a" * 30_000) is None
    assert routes.find("/master" + "/a" * 30_000) is None
    assert len(looked_up) < 100
