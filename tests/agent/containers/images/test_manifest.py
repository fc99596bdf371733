"""Manifests, indexes and configurations: what they say, and what is refused."""

from __future__ import annotations

import json

import pytest

from tepui.agent.containers.images import manifest
from tepui.agent.containers.images.digests import chain_ids
from tepui.agent.containers.images.errors import Fault
from tepui.agent.containers.images.image import ImageConfig
from tepui.agent.containers.images.manifest import Descriptor, Platform, choose, parse, parse_config
from tests.agent.containers.images.made import Made, digest, index_of

CONFIG = {"digest": digest(b"c"), "size": 1, "mediaType": manifest.OCI_CONFIG}
LAYER = {"digest": digest(b"l"), "size": 1}
GOOD = {"schemaVersion": 2, "config": CONFIG, "layers": [LAYER]}


def test_manifests_and_indexes_are_read() -> None:
    made = Made(b"")
    parsed = parse(made.manifest)
    assert isinstance(parsed, manifest.Manifest)
    assert [layer.digest for layer in parsed.layers] == [digest(made.layers[0])]
    index = parse(index_of({"linux/arm/v7": made}))
    assert isinstance(index, manifest.Index)
    assert index.manifests[0].platform == Platform("linux", "arm", "v7")


@pytest.mark.parametrize(
    ("document", "rule"),
    [
        ({"schemaVersion": 1, "fsLayers": []}, "schema 1"),
        ({"schemaVersion": 3}, "schemaVersion is 3, not 2"),
        ({"schemaVersion": 2}, "neither"),
        ([], "not a manifest"),
        ({**GOOD, "manifests": []}, "and also"),
        ({**GOOD, "config": {**CONFIG, "mediaType": "application/vnd.helm"}}, "it is no image"),
        ({**GOOD, "config": {**CONFIG, "size": 9 << 20}}, "longer than"),
        ({**GOOD, "layers": [LAYER] * 128}, "128 layers are more than 127"),
        ({**GOOD, "layers": [{**LAYER, "digest": "sha256:../../x"}]}, "is not a sha256"),
        ({**GOOD, "layers": [{**LAYER, "size": -1}]}, "size of -1"),
        ({**GOOD, "layers": [{**LAYER, "urls": ["https://a.org"]}]}, "at `urls`"),
        ({**GOOD, "layers": [{**LAYER, "mediaType": "x+encrypted"}]}, "is encrypted"),
    ],
)
def test_what_breaks_a_rule_is_refused_with_it(document: object, rule: str) -> None:
    with pytest.raises(Fault, match=rule):
        parse(json.dumps(document).encode())


def test_127_layers_are_taken_and_garbage_is_not() -> None:
    parsed = parse(json.dumps({**GOOD, "layers": [LAYER] * 127}).encode())
    assert isinstance(parsed, manifest.Manifest)
    for content in (b"", b"{", b"\xff", b" " * (5 << 20)):
        with pytest.raises(Fault):
            parse(content)


def entry(name: str, **platform: str) -> Descriptor:
    return Descriptor(
        digest=digest(name.encode()), size=1, platform=Platform(**platform) if platform else None
    )


def test_the_platform_that_fits_best_is_chosen() -> None:
    arm = (Platform("linux", "arm", "v7"), Platform("linux", "arm", "v6"))
    v6 = entry("6", os="linux", architecture="arm", variant="v6")
    v7 = entry("7", os="linux", architecture="arm", variant="v7")
    windows = entry("w", os="windows", architecture="arm", variant="v7")
    assert choose([windows, v6, v7], arm) == v7
    assert choose([windows, v6], arm) == v6
    assert choose([entry("any")], arm) == entry("any")
    with pytest.raises(Fault, match="it is for windows/arm/v7, not for linux/arm/v7"):
        choose([windows, entry("x", os="unknown", architecture="unknown")], arm)
    with pytest.raises(Fault, match="it is for nothing"):
        choose([], arm)


def test_a_configuration_is_read_with_all_its_nulls() -> None:
    document = {
        "architecture": "amd64",
        "os": "linux",
        "config": {
            "Entrypoint": ["/a"],
            "Cmd": None,
            "Env": ["A=1"],
            "WorkingDir": "/w",
            "User": "ann:staff",
            "Labels": {"k": "v"},
            "StopSignal": "SIGINT",
            "Volumes": {"/v": {}},
            "ExposedPorts": {"80/tcp": {}},
            "Healthcheck": {"Test": []},
        },
        "rootfs": {"type": "layers", "diff_ids": [digest(b"l")]},
    }
    config = parse_config(json.dumps(document).encode())
    assert config.diff_ids == (digest(b"l"),)
    assert config.image == ImageConfig(
        entrypoint=("/a",),
        environment=("A=1",),
        directory="/w",
        user="ann:staff",
        labels={"k": "v"},
        stop_signal="SIGINT",
        volumes=("/v",),
        exposed_ports=("80/tcp",),
    )
    bare = {"config": None, "rootfs": {"diff_ids": None}}
    assert parse_config(json.dumps(bare).encode()).image == ImageConfig()
    text = {"config": {"Cmd": "echo a"}, "rootfs": {}}
    assert parse_config(json.dumps(text).encode()).image.cmd == ("/bin/sh", "-c", "echo a")


@pytest.mark.parametrize(
    ("document", "rule"),
    [
        ({}, "no `rootfs`"),
        ([], "not an image's configuration"),
        ({"os": "windows", "rootfs": {}}, "it is for windows, not for linux"),
        ({"rootfs": {"diff_ids": ["sha256:x"]}}, "is not a sha256"),
    ],
)
def test_a_configuration_that_breaks_a_rule_is_refused(document: object, rule: str) -> None:
    with pytest.raises(Fault, match=rule):
        parse_config(json.dumps(document).encode())


def test_a_layers_name_depends_on_all_below() -> None:
    a, b = digest(b"a"), digest(b"b")
    assert chain_ids(()) == ()
    assert chain_ids((a, b)) == (a, digest(f"{a} {b}".encode()))
    assert chain_ids((a, b))[1] != chain_ids((b, b))[1]
