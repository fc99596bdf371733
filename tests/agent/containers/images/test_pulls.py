"""Pulling from a registry: once for all who wait, resumed, repeated, verified, within limits."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import os
import random
from collections import Counter
from pathlib import Path

import pytest

from tepui.agent.containers.images import manifest
from tepui.agent.containers.images.errors import ImageError
from tepui.agent.containers.images.image import PullRequest
from tests.agent.containers.images.fake_registry import FakeRegistry, fake_registry
from tests.agent.containers.images.made import (
    Made,
    digest,
    directory,
    file,
    index_of,
    symlink,
    tar_of,
)
from tests.agent.containers.images.place import images_in, pull, tree, unheard

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(os.geteuid() != 0, reason="whiteouts and owners of files need root"),
]

BASE = tar_of(
    directory("etc"),
    file("etc/passwd", b"root:x:0:0::/root:/bin/sh\n"),
    file("etc/group", b"root:x:0:\n"),
    directory("tmp", 0o1777),
    file("old", b"old"),
)
TOP = tar_of(file("tmp/new", b"new"), file(".wh.old", b""))
BIG = tar_of(file("big", random.Random(1).randbytes(400_000)))
APP = Made(BASE, TOP, config={"Cmd": ["/bin/sh"], "Env": ["A=1"], "WorkingDir": "/tmp"})
LARGE = Made(BASE, BIG, compression="")
HUGE = Made(BASE, tar_of(file("big", random.Random(1).randbytes(3_000_000))), compression="")


def test_an_image_is_pulled_whole(tmp_path: Path) -> None:
    async def run() -> None:
        async with fake_registry() as fake, images_in(tmp_path, registry=fake.url) as images:
            fake.add("app", "1", APP)
            told: list[str] = []
            image = await pull(images, "app:1", told)
            assert image.name == f"{fake.host}/app:1"
            assert image.digest == APP.digest
            assert image.config.cmd == ("/bin/sh",)
            assert image.config.environment == ("A=1",)
            assert image.config.directory == "/tmp"
            assert image.passwd == "root:x:0:0::/root:/bin/sh\n"
            assert image.group == "root:x:0:\n"
            base, top = (Path(layer) for layer in image.layers)
            assert tree(top) == {"old": "device", "tmp": "/", "tmp/new": "new"}
            assert (top / "tmp").stat().st_mode & 0o7777 == 0o1777
            assert base.parent == tmp_path / "layers"
            assert len(base.name) == 16
            assert told[0] == f"pulling app:1: asking {fake.host}"
            assert told[-1].endswith("2 of 2 layers unpacked")
            assert images.list() == (image,)
            assert list((tmp_path / "blobs").iterdir()) == []
            assert list((tmp_path / "tmp").iterdir()) == []

    asyncio.run(run())


def test_a_cached_image_is_returned_without_asking(tmp_path: Path) -> None:
    async def run() -> None:
        async with fake_registry() as fake:
            fake.add("app", "1", APP)
            async with images_in(tmp_path, registry=fake.url) as images:
                first = await pull(images, "app:1")
            asked = len(fake.asked)
            async with images_in(tmp_path, registry=fake.url) as images:
                assert await pull(images, "app:1") == first
            assert len(fake.asked) == asked

    asyncio.run(run())


def test_a_forced_pull_asks_again_and_fetches_what_is_new(tmp_path: Path) -> None:
    async def run() -> None:
        async with fake_registry() as fake, images_in(tmp_path, registry=fake.url) as images:
            fake.add("app", "1", APP)
            first = await pull(images, "app:1")
            forced = PullRequest(name="app:1", is_cached_enough=False)
            assert await images.pull(forced, unheard) == first
            newer = Made(BASE, tar_of(file("newer")))
            fake.add("app", "1", newer)
            second = await images.pull(forced, unheard)
            assert second.digest == newer.digest
            assert second.layers[0] == first.layers[0]
            counted = Counter(fake.fetched())
            assert counted[digest(APP.layers[0])] == 1
            assert counted[digest(newer.layers[1])] == 1

    asyncio.run(run())


def test_two_who_want_one_image_have_it_fetched_once(tmp_path: Path) -> None:
    async def run() -> None:
        async with fake_registry() as fake, images_in(tmp_path, registry=fake.url) as images:
            fake.add("app", "1", APP)
            told: list[str] = []
            one, two = await asyncio.gather(pull(images, "app:1"), pull(images, "app:1", told))
            assert one == two
            assert max(Counter(fake.fetched()).values()) == 1
            assert told

    asyncio.run(run())


def test_images_that_share_layers_have_them_fetched_once(tmp_path: Path) -> None:
    async def run() -> None:
        async with fake_registry() as fake, images_in(tmp_path, registry=fake.url) as images:
            other = Made(BASE, tar_of(file("other")))
            fake.add("app", "1", APP)
            fake.add("other", "1", other)
            await asyncio.gather(pull(images, "app:1"), pull(images, "other:1"))
            assert Counter(fake.fetched())[digest(APP.layers[0])] == 1

    asyncio.run(run())


def test_a_layer_that_an_image_has_twice_is_fetched_once(tmp_path: Path) -> None:
    async def run() -> None:
        async with fake_registry() as fake, images_in(tmp_path, registry=fake.url) as images:
            fake.add("app", "1", Made(BASE, TOP, TOP))
            image = await pull(images, "app:1")
            assert len(set(image.layers)) == 3
            assert list((tmp_path / "blobs").iterdir()) == []

    asyncio.run(run())


def stopping(fake: FakeRegistry, image: Made) -> str:
    """The registry stops in the middle of the image's last layer, whose digest is returned."""
    fake.add("app", "1", image)
    layer = digest(image.layers[-1])
    fake.stops_at[layer] = len(image.layers[-1]) // 2
    return layer


def test_a_cancelled_caller_leaves_the_other_waiting(tmp_path: Path) -> None:
    async def run() -> None:
        async with fake_registry() as fake, images_in(tmp_path, registry=fake.url) as images:
            stopping(fake, LARGE)
            one = asyncio.create_task(pull(images, "app:1"))
            two = asyncio.create_task(pull(images, "app:1"))
            await fake.stopped.wait()
            one.cancel()
            with pytest.raises(asyncio.CancelledError):
                await one
            fake.gate.set()
            assert (await two).digest == LARGE.digest

    asyncio.run(run())


def test_the_last_callers_cancellation_stops_the_pull_and_the_next_one_resumes(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        async with fake_registry() as fake:
            layer = stopping(fake, HUGE)
            async with images_in(tmp_path, registry=fake.url) as images:
                pulling = [asyncio.create_task(pull(images, "app:1")) for _ in range(2)]
                await fake.stopped.wait()
                await have(tmp_path / "blobs" / layer.replace(":", "-"), 1)
                for one in pulling:
                    one.cancel()
                await asyncio.wait(pulling)
                assert list((tmp_path / "tmp").iterdir()) == []
            fake.gate.set()
            async with images_in(tmp_path, registry=fake.url) as images:
                image = await pull(images, "app:1")
                assert (Path(image.layers[1]) / "big").stat().st_size == 3_000_000
            last = [one for one in fake.asked if one.path.endswith(layer)][-1]
            assert int(last.headers["Range"].removeprefix("bytes=").rstrip("-")) > 0

    asyncio.run(run())


async def have(path: Path, size_bytes: int) -> None:
    """The file is at least so large."""
    async with asyncio.timeout(30):
        while not path.exists() or path.stat().st_size < size_bytes:  # noqa: ASYNC110
            await asyncio.sleep(0.001)


def test_what_a_killed_agent_left_is_swept_or_gone_on_with(tmp_path: Path) -> None:
    async def run() -> None:
        async with fake_registry() as fake:
            fake.add("app", "1", LARGE)
            layer = LARGE.layers[1]
            async with images_in(tmp_path):
                pass
            partial = tmp_path / "blobs" / digest(layer).replace(":", "-")
            partial.write_bytes(layer[:100_000])
            (tmp_path / "tmp/half/layer").mkdir(parents=True)
            (tmp_path / "layers/0123456789abcdef/etc").mkdir(parents=True)
            (tmp_path / "images/torn.json").write_text('{"name": "a')
            (tmp_path / "records/0123456789abcdef.json").write_text("")
            (tmp_path / "holds/torn.json").write_text("{")
            async with images_in(tmp_path, registry=fake.url) as images:
                assert images.list() == ()
                for name in ("tmp", "layers", "images", "records", "holds"):
                    assert list((tmp_path / name).iterdir()) == []
                await pull(images, "app:1")
            asked = [one for one in fake.asked if one.path.endswith(digest(layer))]
            assert [one.headers["Range"] for one in asked] == ["bytes=100000-"]

    asyncio.run(run())


def test_a_partial_file_of_other_bytes_is_fetched_anew(tmp_path: Path) -> None:
    async def run() -> None:
        async with fake_registry() as fake, images_in(tmp_path, registry=fake.url) as images:
            fake.add("app", "1", LARGE)
            partial = tmp_path / "blobs" / digest(LARGE.layers[1]).replace(":", "-")
            partial.write_bytes(b"other bytes")
            assert (await pull(images, "app:1")).digest == LARGE.digest

    asyncio.run(run())


def test_a_server_without_ranges_sends_all_again(tmp_path: Path) -> None:
    async def run() -> None:
        async with fake_registry() as fake, images_in(tmp_path, registry=fake.url) as images:
            fake.add("app", "1", LARGE)
            fake.has_ranges = False
            fake.cuts[digest(LARGE.layers[1])] = [150_000]
            assert (await pull(images, "app:1")).digest == LARGE.digest

    asyncio.run(run())


def test_connections_that_break_are_gone_on_with(tmp_path: Path) -> None:
    async def run() -> None:
        async with fake_registry() as fake, images_in(tmp_path, registry=fake.url) as images:
            fake.add("app", "1", LARGE)
            layer = digest(LARGE.layers[1])
            fake.cuts[layer] = [50_000, 100_000, 150_000, 200_000, 250_000, 300_000, 350_000]
            await pull(images, "app:1")
            assert Counter(fake.fetched())[layer] == 8

    asyncio.run(run())


def test_a_registry_that_fails_in_passing_is_asked_again_but_not_for_ever(tmp_path: Path) -> None:
    async def run() -> None:
        async with fake_registry() as fake, images_in(tmp_path, registry=fake.url) as images:
            fake.add("app", "1", APP)
            fake.failures["/manifests/1"] = 4
            fake.failures[digest(APP.layers[0])] = 4
            await pull(images, "app:1")
            fake.add("app", "2", APP)
            fake.failures["/manifests/2"] = 5
            with pytest.raises(ImageError) as failed:
                await pull(images, "app:2")
            assert str(failed.value) == (
                f"image 'app:2': fetching the manifest from '{fake.host}': the answer is 503: later"
            )
            assert fake.failures["/manifests/2"] == 0

    asyncio.run(run())


def test_a_broken_blob_is_fetched_again_and_never_kept(tmp_path: Path) -> None:
    async def run() -> None:
        async with fake_registry() as fake, images_in(tmp_path, registry=fake.url) as images:
            fake.add("app", "1", APP)
            layer = digest(APP.layers[0])
            fake.broken[layer] = 1
            await pull(images, "app:1")
            other = Made(tar_of(file("other")))
            fake.add("other", "1", other)
            fake.broken[digest(other.layers[0])] = 100
            with pytest.raises(ImageError, match="has the digest"):
                await pull(images, "other:1")
            assert [image.digest for image in images.list()] == [APP.digest]

    asyncio.run(run())


def test_a_layer_that_is_not_what_the_configuration_says_is_refused(tmp_path: Path) -> None:
    async def run() -> None:
        async with fake_registry() as fake, images_in(tmp_path, registry=fake.url) as images:
            fake.add("app", "1", Made(BASE, diff_ids=[digest(TOP)]))
            with pytest.raises(ImageError, match=r"verifying: the layer when unpacked is not"):
                await pull(images, "app:1")
            fake.add("app", "2", Made(BASE, diff_ids=[]))
            with pytest.raises(ImageError, match="it has 1 layers, and the configuration 0"):
                await pull(images, "app:2")
            for name in ("tmp", "layers", "records", "images", "blobs"):
                assert list((tmp_path / name).iterdir()) == []

    asyncio.run(run())


def test_a_manifest_of_another_digest_is_refused(tmp_path: Path) -> None:
    async def run() -> None:
        async with fake_registry() as fake, images_in(tmp_path, registry=fake.url) as images:
            fake.add("app", "1", APP)
            name = f"app@{APP.digest}"
            assert (await pull(images, name)).name == f"{fake.host}/{name}"
            other = Made(TOP)
            fake.manifests["app", other.digest] = (APP.manifest, APP.media_type)
            with pytest.raises(ImageError, match="has the digest"):
                await pull(images, f"app@{other.digest}")

    asyncio.run(run())


def test_what_is_not_there_is_said_with_the_registrys_words(tmp_path: Path) -> None:
    async def run() -> None:
        async with fake_registry() as fake, images_in(tmp_path, registry=fake.url) as images:
            with pytest.raises(ImageError) as failed:
                await pull(images, "app:1")
            assert str(failed.value) == (
                f"image 'app:1': fetching the manifest from '{fake.host}': "
                "'app' has no such thing (404): manifest unknown"
            )
            assert fake.count("GET", "/manifests/1") == 1

    asyncio.run(run())


def test_of_an_index_the_image_for_this_machine_is_pulled(tmp_path: Path) -> None:
    async def run() -> None:
        async with fake_registry() as fake, images_in(tmp_path, registry=fake.url) as images:
            ours, other = Made(BASE), Made(TOP)
            platform = str(manifest.this_machine()[0])
            index = index_of({"linux/mips": other, platform: ours, "unknown/unknown": other})
            fake.add("app", "ours", ours)
            fake.add("app", "other", other)
            fake.add_manifest("app", "1", index, manifest.OCI_INDEX)
            assert (await pull(images, "app:1")).digest == ours.digest
            fake.add_manifest("app", "2", index_of({"linux/mips": other}), manifest.OCI_INDEX)
            with pytest.raises(ImageError, match="it is for linux/mips, not for linux/"):
                await pull(images, "app:2")

    asyncio.run(run())


def test_an_image_for_another_machine_is_pulled_with_a_note(tmp_path: Path) -> None:
    async def run() -> None:
        async with fake_registry() as fake, images_in(tmp_path, registry=fake.url) as images:
            fake.add("app", "1", Made(BASE, architecture="mips"))
            told: list[str] = []
            await pull(images, "app:1", told)
            assert any("it is for linux/mips, and this machine is" in text for text in told)

    asyncio.run(run())


def test_docker_manifests_zstd_and_plain_layers_are_understood(tmp_path: Path) -> None:
    async def run() -> None:
        async with fake_registry() as fake, images_in(tmp_path, registry=fake.url) as images:
            fake.add("docker", "1", Made(BASE, oci=False))
            fake.add("zstd", "1", Made(TOP, BIG, compression="zstd"))
            fake.add("plain", "1", Made(BIG, compression=""))
            for name in ("docker:1", "zstd:1", "plain:1"):
                image = await pull(images, name)
                assert tree(Path(image.layers[0]))

    asyncio.run(run())


def test_a_decompression_bomb_is_stopped_and_named(tmp_path: Path) -> None:
    async def run() -> None:
        async with fake_registry() as fake:
            fake.add("bomb", "1", Made(BASE, tar_of(file("zeros", bytes(3_000_000)))))
            fake.add("many", "1", Made(tar_of(*(file(str(at), b"") for at in range(200)))))
            fake.add("big", "1", LARGE)
            async with images_in(
                tmp_path,
                registry=fake.url,
                unpacked_bytes_max=1_000_000,
                files_max=100,
                image_bytes_max=300_000,
            ) as images:
                # Whichever of the layers is unpacked last: the limit is that of the image.
                bomb = r"^image 'bomb:1': unpacking layer \d of 2: it unpacks to more than 1000000 bytes$"
                with pytest.raises(ImageError, match=bomb):
                    await pull(images, "bomb:1")
                with pytest.raises(ImageError, match="it holds more than 100 files"):
                    await pull(images, "many:1")
                with pytest.raises(ImageError, match="bytes, more than 300000"):
                    await pull(images, "big:1")
        # Once all is done that goes on beside: what was begun with other layers is removed later.
        assert list((tmp_path / "tmp").iterdir()) == []
        # The layer below the bomb may be there: another pull can go on with it.
        kept = {path.name for path in (tmp_path / "blobs").iterdir()}
        assert kept <= {digest(gzip.compress(BASE, mtime=0)).replace(":", "-")}

    asyncio.run(run())


def test_a_bomb_with_holes_counts_in_full(tmp_path: Path) -> None:
    async def run() -> None:
        holes = tar_of(
            file(
                "holes",
                b"0\n",
                pax_headers={"GNU.sparse.major": "1", "GNU.sparse.realsize": "9" * 12},
            )
        )
        async with fake_registry() as fake, images_in(tmp_path, registry=fake.url) as images:
            fake.add("bomb", "1", Made(holes))
            with pytest.raises(ImageError, match="it unpacks to more than"):
                await pull(images, "bomb:1")

    asyncio.run(run())


def config_json(host: str, user: str) -> str:
    return json.dumps({"auths": {host: {"auth": base64.b64encode(user.encode()).decode()}}})


@pytest.mark.parametrize("auth", ["basic", "bearer"])
def test_who_has_no_or_wrong_credentials_is_denied(tmp_path: Path, auth: str) -> None:
    async def run() -> None:
        async with fake_registry() as fake, images_in(tmp_path, registry=fake.url) as images:
            fake.add("app", "1", APP)
            fake.auth, fake.user = auth, "ann:secret"
            with pytest.raises(ImageError) as failed:
                await pull(images, "app:1")
            assert "access is denied with nobody's credentials (401)" in str(failed.value)
            wrong = PullRequest(name="app:1", docker_config=config_json(fake.host, "ann:guess"))
            with pytest.raises(ImageError) as failed:
                await images.pull(wrong, unheard)
            assert "access is denied with these credentials (401)" in str(failed.value)
            assert "guess" not in str(failed.value)
            right = PullRequest(name="app:1", docker_config=config_json(fake.host, "ann:secret"))
            assert (await images.pull(right, unheard)).digest == APP.digest

    asyncio.run(run())


def test_tokens_are_for_all_who_may_pull_and_are_asked_for_once(tmp_path: Path) -> None:
    async def run() -> None:
        async with fake_registry() as fake, images_in(tmp_path, registry=fake.url) as images:
            fake.add("app", "1", Made(BASE, TOP, BIG))
            fake.auth = "bearer"
            await pull(images, "app:1")
            (asked,) = [one for one in fake.asked if one.path == "/token"]
            assert asked.query == {"service": "fake", "scope": "repository:app:pull"}
            assert "Authorization" not in asked.headers

    asyncio.run(run())


def test_a_token_that_expires_is_renewed(tmp_path: Path) -> None:
    async def run() -> None:
        async with fake_registry() as fake, images_in(tmp_path, registry=fake.url) as images:
            stopping(fake, LARGE)
            fake.auth = "bearer"
            layer = digest(LARGE.layers[1])
            fake.cuts[layer] = [300_000]
            pulling = asyncio.create_task(pull(images, "app:1"))
            await fake.stopped.wait()
            fake.token = "token-2"
            fake.gate.set()
            await pulling
            assert fake.count("GET", "/token") == 2

    asyncio.run(run())


def test_identity_tokens_are_exchanged(tmp_path: Path) -> None:
    async def run() -> None:
        async with fake_registry() as fake:
            text = json.dumps({"auths": {fake.host: {"identitytoken": "for-long"}}})
            async with images_in(tmp_path, registry=fake.url, docker_config=text) as images:
                fake.add("app", "1", APP)
                fake.auth, fake.refresh_token = "bearer", "for-long"
                await pull(images, "app:1")
                assert fake.count("POST", "/token") == 1

    asyncio.run(run())


def test_where_blobs_are_redirected_to_nobody_learns_who_asks(tmp_path: Path) -> None:
    async def run() -> None:
        async with fake_registry() as fake, fake_registry() as other:
            fake.add("app", "1", APP)
            fake.auth, fake.user = "basic", "ann:secret"
            fake.blobs_at, other.blobs = other.url, APP.blobs
            async with images_in(
                tmp_path, registry=fake.url, docker_config=config_json(fake.host, "ann:secret")
            ) as images:
                await pull(images, "app:1")
            assert len(other.asked) == 3
            assert all("Authorization" not in one.headers for one in other.asked)
            assert all(one.query == {"signature": "a/b"} for one in other.asked)

    asyncio.run(run())


def test_redirects_end(tmp_path: Path) -> None:
    async def run() -> None:
        async with fake_registry() as fake, images_in(tmp_path, registry=fake.url) as images:
            fake.add("app", "1", APP)
            fake.blobs_at = fake.url
            with pytest.raises(ImageError, match="there are more than 10"):
                await pull(images, "app:1")

    asyncio.run(run())


def test_mirrors_are_asked_first_and_the_registry_when_they_fail(tmp_path: Path) -> None:
    async def run() -> None:
        async with fake_registry() as fake, fake_registry() as mirror:
            fake.add("app", "1", LARGE)
            mirror.add("app", "1", LARGE)
            mirror.cuts[digest(LARGE.layers[1])] = [100_000]
            fake.add("only", "1", APP)
            async with images_in(
                tmp_path, registry=fake.url, mirrors=("http://127.0.0.1:1", mirror.url)
            ) as images:
                await pull(images, "app:1")
                assert fake.fetched() == [digest(LARGE.layers[1])]
                assert fake.asked[-1].headers["Range"] == "bytes=100000-"
                await pull(images, "only:1")

    asyncio.run(run())


def test_a_mirror_of_one_registry_is_not_asked_for_another(tmp_path: Path) -> None:
    async def run() -> None:
        async with fake_registry() as fake, fake_registry() as mirror:
            fake.add("app", "1", APP)
            mirror.add("app", "2", APP)
            async with images_in(tmp_path, mirrors=(f"{fake.host}={mirror.url}",)) as images:
                await pull(images, f"{fake.host}/app:2")
                await pull(images, f"{fake.host}/app:1")
                asked = len(mirror.asked)
                with pytest.raises(ImageError):
                    await pull(images, f"{mirror.host}/none:1")
                assert len(fake.asked) < 20
                assert len(mirror.asked) > asked

    asyncio.run(run())


def test_a_registry_on_this_machine_may_be_without_tls(tmp_path: Path) -> None:
    async def run() -> None:
        async with fake_registry() as fake, images_in(tmp_path) as images:
            fake.add("app", "1", APP)
            await pull(images, f"{fake.host}/app:1")

    asyncio.run(run())


def test_schema_1_is_refused_with_a_sentence(tmp_path: Path) -> None:
    async def run() -> None:
        async with fake_registry() as fake, images_in(tmp_path, registry=fake.url) as images:
            old = json.dumps({"schemaVersion": 1, "fsLayers": [], "history": []}).encode()
            fake.add_manifest(
                "app", "1", old, "application/vnd.docker.distribution.manifest.v1+json"
            )
            with pytest.raises(ImageError, match="it is of schema 1, which Docker has given up"):
                await pull(images, "app:1")

    asyncio.run(run())


def test_compressed_garbage_is_named(tmp_path: Path) -> None:
    async def run() -> None:
        async with fake_registry() as fake, images_in(tmp_path, registry=fake.url) as images:
            garbage = Made(BASE)
            garbage.layers[0] = gzip.compress(BASE)[:100]
            content = json.loads(garbage.manifest)
            content["layers"][0].update(digest=digest(garbage.layers[0]), size=100)
            fake.blobs.update(garbage.blobs)
            fake.add_manifest("app", "1", json.dumps(content).encode(), manifest.OCI_MANIFEST)
            with pytest.raises(ImageError, match="decompressing: the gzip stream ends early"):
                await pull(images, "app:1")
            fake.add("app", "2", Made(b"no archive" * 100))
            with pytest.raises(ImageError, match="it is not a tar archive"):
                await pull(images, "app:2")

    asyncio.run(run())


def test_links_do_not_lead_the_reader_of_passwd_out(tmp_path: Path) -> None:
    async def run() -> None:
        async with fake_registry() as fake, images_in(tmp_path, registry=fake.url) as images:
            outside = tar_of(directory("etc"), symlink("etc/passwd", "../../../../etc/passwd"))
            inside = tar_of(symlink("etc/group", "/lib/group"), file("lib/group", b"g:x:7:\n"))
            fake.add("app", "1", Made(outside, inside))
            image = await pull(images, "app:1")
            assert image.passwd == ""
            assert image.group == "g:x:7:\n"

    asyncio.run(run())
