"""What names of images mean, and which are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from tepui.agent.containers.images import reference
from tepui.agent.containers.images.errors import Fault
from tepui.agent.containers.images.local import Place
from tepui.agent.containers.images.names import Names
from tepui.agent.containers.images.settings import ImageSettings

SHA = "sha256:" + "a" * 64

MEANINGS = {
    "alpine": "docker.io/library/alpine:latest",
    "alpine:3": "docker.io/library/alpine:3",
    "docker.io/alpine": "docker.io/library/alpine:latest",
    "index.docker.io/library/alpine": "docker.io/library/alpine:latest",
    "user/app": "docker.io/user/app:latest",
    "a/b/c:1.0_x-Y": "docker.io/a/b/c:1.0_x-Y",
    "localhost/app": "localhost/app:latest",
    "localhost:5000/app": "localhost:5000/app:latest",
    "example.org/app": "example.org/app:latest",
    "example.org:443/a/b:1": "example.org:443/a/b:1",
    "[::1]:5000/app": "[::1]:5000/app:latest",
    "10.0.0.1:5000/app": "10.0.0.1:5000/app:latest",
    f"alpine@{SHA}": f"docker.io/library/alpine@{SHA}",
    f"alpine:3@{SHA}": f"docker.io/library/alpine:3@{SHA}",
    "a__b/c--d/e.f": "docker.io/a__b/c--d/e.f:latest",
    "Host/app": "Host/app:latest",
}


@pytest.mark.parametrize("name", MEANINGS)
def test_a_name_means_what_it_means_to_docker(name: str) -> None:
    assert str(reference.parse(name)) == MEANINGS[name]


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("", "is not a repository"),
        ("Alpine", "is not a repository"),
        ("a/../b", "is not a repository"),
        ("a//b", "is not a repository"),
        ("-a", "is not a repository"),
        ("a___b", "is not a repository"),
        ("a:", "is not a tag"),
        ("a:.b", "is not a tag"),
        ("a:" + "b" * 129, "is not a tag"),
        ("a@sha256:12", "is not a digest"),
        ("a@md5:" + "a" * 32, "is not a digest"),
        ("exa_mple.org/a", "is not a registry"),
        ("a" * 64, "is an image's id"),
        ("example.org/" + "a" * 244, "longer than 255"),
        ("a:1\n", "is not a tag"),
    ],
)
def test_what_is_no_name_is_refused_with_the_rule(name: str, rule: str) -> None:
    with pytest.raises(Fault, match=rule):
        reference.parse(name)


def test_the_longest_names_are_taken() -> None:
    assert reference.parse("a:" + "b" * 128).tag == "b" * 128
    assert reference.parse("example.org/" + "a" * 243).registry == "example.org"


def test_names_without_registry_are_in_the_one_of_the_settings() -> None:
    names = Names(ImageSettings(registry="https://example.org:444"))
    assert str(names.resolve("app")) == "example.org:444/app:latest"
    assert str(names.resolve("docker.io/app")) == "docker.io/library/app:latest"
    assert str(Names(ImageSettings()).resolve("app")) == "docker.io/library/app:latest"


def test_a_registry_that_is_a_directory_holds_archives(tmp_path: Path) -> None:
    names = Names(ImageSettings(registry=str(tmp_path)))
    (tmp_path / "app.tar").touch()
    (tmp_path / "other:1.tar").touch()
    (tmp_path / "user").mkdir()
    (tmp_path / "user/app:latest.tar").touch()
    assert names.resolve("app") == Place(tmp_path / "app.tar", "")
    assert names.resolve("app:latest") == Place(tmp_path / "app.tar", "")
    assert names.resolve("other:1") == Place(tmp_path / "other:1.tar", "")
    assert names.resolve("user/app") == Place(tmp_path / "user/app:latest.tar", "")
    with pytest.raises(Fault, match=r"there is no '.*/app:2.tar'"):
        names.resolve("app:2")
    assert str(names.resolve("example.org/app")) == "example.org/app:latest"


def test_paths_name_archives_and_an_image_in_them(tmp_path: Path) -> None:
    path = tmp_path / "all.tar"
    path.touch()
    names = Names(ImageSettings())
    assert names.resolve(str(path)) == Place(path, "")
    assert names.resolve(f"file://{path}") == Place(path, "")
    assert names.resolve(f"{path}:user/app:1") == Place(path, "user/app:1")
    with pytest.raises(Fault, match="there is no"):
        names.resolve(f"{tmp_path}/none.tar")
    with pytest.raises(Fault, match="is no file of this machine"):
        names.resolve("file://elsewhere/all.tar")


def test_archives_are_read_only_from_where_the_settings_allow(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/app.tar").touch()
    (tmp_path / "out.tar").touch()
    (tmp_path / "in/link.tar").symlink_to(tmp_path / "out.tar")
    names = Names(ImageSettings(local_directories=(str(tmp_path / "in"),)))
    assert names.resolve(f"{tmp_path}/in/app.tar") == Place(tmp_path / "in/app.tar", "")
    for name in ("out.tar", "in/link.tar", "in/../out.tar"):
        with pytest.raises(Fault, match="may not be read from there"):
            names.resolve(f"{tmp_path}/{name}")
