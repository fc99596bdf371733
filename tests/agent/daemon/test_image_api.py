"""The images of an agent over HTTP: pulled, listed, removed, pruned, and collected when the disk is full."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tepui.agent.containers.images.errors import Fault
from tepui.agent.containers.images.image import PullRequest
from tepui.agent.containers.images.images import Images
from tepui.agent.containers.images.settings import ImageSettings
from tepui.agent.daemon import image_api
from tepui.agent.daemon.container_options import ContainerOptions
from tepui.agent.daemon.image_api import ImageApi
from tepui.agent.daemon.image_collecting import Collecting
from tepui.web.http import Request
from tepui.web.stream import RecordStream
from tests.agent.containers.images.made import Made, file, saved_files, tar_of, write_archive
from tests.agent.containers.images.place import images_in, pull
from tests.agent.daemon.client import DEADLINE_S, call, get, request
from tests.agent.daemon.fake_master import running_agent
from tests.real.small_disk import small_disk

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(os.geteuid() != 0, reason="whiteouts and owners of files need root"),
]

BASE = tar_of(file("base"))


def archives(directory: Path, *names: str, content: bytes = b"content") -> dict[str, str]:
    """The paths of archives of these names."""
    paths = {}
    for name in names:
        made = Made(BASE, tar_of(file(name, content)), compression="")
        path = write_archive(saved_files({f"{name}:1": made}), directory / f"{name}.tar")
        paths[name] = str(path)
    return paths


@asynccontextmanager
async def agent(containers: ContainerOptions | None = None) -> AsyncIterator[tuple[int, Any]]:
    """The port of an agent, and the daemon. It may use images even if no crun is here."""
    options: dict[str, Any] = {} if containers is None else {"containers": containers}
    async with running_agent(**options) as (_, daemon):
        daemon._images._refusal = ""
        yield daemon.port, daemon


async def pulled(port: int, **wanted: object) -> list[dict[str, Any]]:
    """The lines of the answer to a pull."""
    body = json.dumps(wanted).encode()
    answer = await request(port, "POST", "/images", (), body)
    assert answer.status == 200, answer
    assert answer.headers["content-type"] == "application/x-ndjson"
    return lines_of(answer.body)


def lines_of(chunked: bytes) -> list[dict[str, Any]]:
    """The lines of a body in chunks, each of them one."""
    found = []
    while chunked:
        head, _, rest = chunked.partition(b"\r\n")
        size = int(head, 16)
        if size:
            assert rest[:size].endswith(b"\n")
            found.append(json.loads(rest[:size]))
        chunked = rest[size + 2 :]
    return found


async def names(port: int) -> list[str]:
    answer = await get(port, "/images")
    found: Any = answer.json()
    return [Path(one["name"]).stem for one in found["images"]]


def test_what_is_pulled_is_listed_and_removed_when_nobody_holds_it(tmp_path: Path) -> None:
    paths = archives(tmp_path, "a", "b")

    async def scenario() -> None:
        async with agent() as (port, daemon):
            assert (await get(port, "/images")).json() == {"images": []}
            *steps, last = await pulled(port, name=paths["a"])
            assert steps[0] == {"progress": f"pulling {paths['a']}: reading the archive"}
            assert last["image"].pop("used_at_s") > 0
            assert last["image"].pop("digest").startswith("sha256:")
            size_bytes = last["image"].pop("size_bytes")
            assert last["image"] == {"name": paths["a"], "layers": 2, "containers": []}
            await pulled(port, name=paths["b"])
            images = daemon._parts.images
            images.hold("c1", images.find(paths["a"]).image)
            found: Any = (await get(port, "/slave(1)/images")).json()
            assert [(one["name"], one["containers"]) for one in found["images"]] == [
                (paths["a"], ["c1"]),
                (paths["b"], []),
            ]
            assert found["images"][0]["size_bytes"] == size_bytes
            query = f"/images?name={quote(paths['a'])}"
            refused = await request(port, "DELETE", query)
            assert refused.status == 409
            assert b"removing it: container 'c1' lives on it" in refused.body
            images.release("c1")
            assert (await request(port, "DELETE", query)).status == 200
            assert await names(port) == ["b"]
            assert (await request(port, "DELETE", query)).status == 404

    asyncio.run(scenario())


def test_a_pull_that_fails_ends_with_the_reason(tmp_path: Path) -> None:
    broken = tmp_path / "broken.tar"
    broken.write_bytes(b"no archive at all" * 100)

    async def scenario() -> None:
        async with agent() as (port, _):
            *_, last = await pulled(port, name=str(broken))
            assert last.keys() == {"error"}
            assert "reading the archive" in last["error"]
            assert await names(port) == []

    asyncio.run(scenario())


def test_credentials_reach_the_pull(tmp_path: Path) -> None:
    paths = archives(tmp_path, "a")

    async def scenario() -> None:
        async with agent() as (port, daemon):
            asked: list[PullRequest] = []
            images = daemon._parts.images
            genuine = images.pull

            async def watched(wanted: PullRequest, progress: Any) -> Any:
                asked.append(wanted)
                return await genuine(wanted, progress)

            images.pull = watched
            await pulled(port, name=paths["a"], docker_config='{"auths":{}}', cached=False)
            await pulled(port, name=paths["a"])
            assert asked == [
                PullRequest(name=paths["a"], docker_config='{"auths":{}}', is_cached_enough=False),
                PullRequest(name=paths["a"]),
            ]

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "said"),
    [
        ("PUT", "/images", b"", 405, "405 Method Not Allowed"),
        ("GET", "/images/a", b"", 404, "404 Not Found."),
        ("POST", "/images", b"", 400, "Failed to parse body into Wanted"),
        ("POST", "/images", b"[1]", 400, "Expected `object`, got `array`"),
        ("POST", "/images", b"{}", 400, "missing required field `name`"),
        ("POST", "/images", b'{"name":1}', 400, "Expected `str`, got `int` - at `$.name`"),
        ("POST", "/images", b'{"name":"a","nam":1}', 400, "unknown field `nam`"),
        ("POST", "/images", b'{"name":""}', 400, "Expecting 'name' to be the name of an image"),
        ("POST", "/images", b'{"name":"A B"}', 400, "is not a repository"),
        ("POST", "/images", b'{"name":"/no/such"}', 400, "there is no '/no/such'"),
        ("DELETE", "/images", b"", 400, "Expecting 'name=value' in query."),
        ("DELETE", "/images?name=A%20B", b"", 400, "is not a repository"),
        ("DELETE", "/images?name=a", b"", 404, "image 'a' is not here"),
    ],
)
def test_what_is_wrong_is_refused(
    method: str, path: str, body: bytes, status: int, said: str
) -> None:
    async def scenario() -> None:
        async with agent() as (port, _):
            answer = await request(port, method, path, (), body)
            assert answer.status == status
            assert said in answer.body.decode()

    asyncio.run(scenario())


def test_an_agent_that_cannot_use_images_pulls_none() -> None:
    async def scenario() -> None:
        api = ImageApi(Images(Path("/nonexistent"), ImageSettings()), "no crun")
        answer: Any = await api.handle(wanting("a"))
        assert (answer.status, answer.body) == (409, b"This agent runs no images: no crun")

    asyncio.run(scenario())


def wanting(name: str) -> Request:
    body = json.dumps({"name": name}).encode()
    return Request("POST", "/images", {}, "", body, "here:1")


def test_no_more_pulls_are_waited_for_than_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_api, "PULLS_MAX", 1)
    paths = archives(tmp_path, "a")

    async def scenario() -> None:
        async with images_in(tmp_path / "store") as images:
            api = ImageApi(images, "")
            await api.handle(wanting(paths["a"]))
            second: Any = await api.handle(wanting(paths["a"]))
            assert (second.status, second.body) == (503, b"1 images are being pulled")
            await api.close()
            await api.handle(wanting(paths["a"]))
            await api.close()

    asyncio.run(scenario())


def test_a_client_that_leaves_gives_its_pull_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = archives(tmp_path, "a")

    async def scenario() -> None:
        async with images_in(tmp_path / "store") as images:
            begun, given_up = asyncio.Event(), asyncio.Event()

            async def pull_for_ever(wanted: PullRequest, progress: Any) -> Any:
                begun.set()
                try:
                    await asyncio.Event().wait()
                finally:
                    given_up.set()

            monkeypatch.setattr(images, "pull", pull_for_ever)
            api = ImageApi(images, "")
            answer: Any = await api.handle(wanting(paths["a"]))
            async with asyncio.timeout(DEADLINE_S):
                await begun.wait()
                answer.stream.client_left()
                await given_up.wait()
            await api.close()

    asyncio.run(scenario())


def test_a_pull_without_news_says_so_now_and_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_api, "PULSE_S", 0.001)
    paths = archives(tmp_path, "a")

    async def scenario() -> None:
        async with agent() as (port, daemon):
            images = daemon._parts.images
            genuine = images.pull
            told = []

            async def slow(wanted: PullRequest, progress: Any) -> Any:
                reached = asyncio.Event()
                send = RecordStream.send

                def counted(stream: Any, record: bytes) -> None:
                    told.append(record)
                    if len(told) == 3:
                        reached.set()
                    send(stream, record)

                monkeypatch.setattr(RecordStream, "send", counted)
                await reached.wait()
                return await genuine(wanted, progress)

            images.pull = slow
            lines = await pulled(port, name=paths["a"])
            assert lines[:3] == [{"progress": f"pulling {paths['a']}"}] * 3
            assert "image" in lines[-1]

    asyncio.run(scenario())


def test_prune_images_leaves_what_is_excluded_or_held(tmp_path: Path) -> None:
    paths = archives(tmp_path, "a", "b", "c")

    async def scenario() -> None:
        async with agent() as (port, daemon):
            for path in paths.values():
                await pulled(port, name=path)
            images = daemon._parts.images
            images.hold("c1", images.find(paths["a"]).image)
            excluded = [{"type": "DOCKER", "docker": {"name": paths["b"]}}]
            prune = {"type": "PRUNE_IMAGES", "prune_images": {"excluded_images": excluded}}
            answer = await call(port, prune)
            assert (answer.status, answer.body) == (200, b"")
            assert await names(port) == ["a", "b"]
            assert (await call(port, {"type": "PRUNE_IMAGES"})).status == 200
            assert await names(port) == ["a"]
            images.release("c1")

    asyncio.run(scenario())


def test_images_that_nobody_uses_go_while_the_disk_is_fuller_than_wanted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, "tepui.agent")
    paths = archives(tmp_path, "a", "b")

    async def scenario() -> None:
        async with images_in(tmp_path / "store") as images:
            for path in paths.values():
                await pull(images, path)
                images._store.used_at_s[path] = 1.0
            images.hold("c1", images.list()[0])
            images._store.used_at_s[paths["a"]] = 1.0
            collected = asyncio.Event()
            genuine = images.collect

            async def watched(fraction: float, excluded: Any = ()) -> Any:
                found = await genuine(fraction, excluded)
                collected.set()
                return found

            monkeypatch.setattr(images, "collect", watched)
            never = Collecting(images, 0.0, 1)
            never.start()
            await never.stop()
            collecting = Collecting(images, 1.0, 3_600_000)
            collecting.start()
            async with asyncio.timeout(DEADLINE_S):
                await collected.wait()
            await collecting.stop()
            assert [image.name for image in images.list()] == [paths["a"]]
            (record,) = [one for one in caplog.records if "image_collected" in one.msg]
            assert paths["b"] in record.getMessage()

    asyncio.run(scenario())


def test_a_pull_that_finds_the_disk_full_has_unused_images_removed(tmp_path: Path) -> None:
    archived = tmp_path / "archives"
    archived.mkdir()
    names = ("a", "b", "c")
    paths: dict[str, str] = {}
    for at, name in enumerate(names):
        content = os.urandom(100) * 40_000 + bytes([at])
        paths |= archives(archived, name, content=content)

    async def scenario(store: Path) -> None:
        async with images_in(store) as images:
            images.hold("c1", await pull(images, paths["a"]))
            await pull(images, paths["b"])
            with pytest.raises(Exception, match=r"No space left on device|MB are free"):
                await pull(images, paths["c"])  # b was used just now
            images._store.used_at_s[paths["b"]] = 1.0
            await pull(images, paths["c"])
            assert [image.name for image in images.list()] == [paths["a"], paths["c"]]

    with small_disk(tmp_path / "disk", 10) as disk:
        asyncio.run(scenario(disk))


def test_what_says_that_the_disk_is_full() -> None:
    assert Fault("storing", "it is large", room_bytes=1).is_full
    assert Fault("unpacking", "a: Cannot write: No space left on device").is_full
    assert not Fault("unpacking", "a: Permission denied").is_full
