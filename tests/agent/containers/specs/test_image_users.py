"""Users of images, by name and by number."""

from __future__ import annotations

import pytest

from tepui.agent.containers.specs.errors import Unsupported
from tepui.agent.containers.specs.image_users import ImageUser, image_user

PASSWD = """root:x:0:0:root:/root:/bin/sh
app:x:1000:100:App:/srv/app:/bin/sh
7:x:70:70:a name of digits:/seven:/bin/sh
torn:x
bad:x:x:y:::
"""
GROUP = """root:x:0:root
users:x:100:
web:x:33:app,www
ops:x:34:app
"""


@pytest.mark.parametrize(
    ("asked", "user"),
    [
        ("", ImageUser(0, 0, (0,), "/root")),
        ("root", ImageUser(0, 0, (0,), "/root")),
        ("app", ImageUser(1000, 100, (100, 33, 34), "/srv/app")),
        ("1000", ImageUser(1000, 100, (100, 33, 34), "/srv/app")),
        ("7", ImageUser(70, 70, (70,), "/seven")),
        ("4242", ImageUser(4242, 0, (0,), "/")),
        ("app:web", ImageUser(1000, 33, (33,), "/srv/app")),
        ("app:44", ImageUser(1000, 44, (44,), "/srv/app")),
        ("4242:4343", ImageUser(4242, 4343, (4343,), "/")),
        (":web", ImageUser(0, 33, (33,), "/root")),
    ],
)
def test_a_user_is_looked_up_in_the_image(asked: str, user: ImageUser) -> None:
    assert image_user(asked, PASSWD, GROUP) == user


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ("ghost", "the image has no user 'ghost'"),
        ("torn", "the image has no user 'torn'"),
        ("bad", "the image has no user 'bad'"),
        ("app:ghosts", "the image has no group 'ghosts'"),
        ("4294967295", "4294967295 is no id of a user or group: it is over 4294967294"),
        ("9" * 5000, f"{'9' * 5000} is no id of a user or group: it is over 4294967294"),
    ],
)
def test_who_is_not_in_the_image_is_refused_by_name(asked: str, text: str) -> None:
    with pytest.raises(Unsupported, match=f"^{text}$"):
        image_user(asked, PASSWD, GROUP)


def test_an_image_without_users_has_root_and_numbers() -> None:
    assert image_user("", "", "") == ImageUser(0, 0, (0,), "/root")
    assert image_user("5:6", "", "") == ImageUser(5, 6, (6,), "/")
