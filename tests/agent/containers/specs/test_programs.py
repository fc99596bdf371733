"""Which program a container runs, by what its task and its image say."""

from __future__ import annotations

import pytest

from tepui.agent.containers.images.image import ImageConfig
from tepui.agent.containers.specs.errors import Unsupported
from tepui.agent.containers.specs.programs import docker_program_of, environment_in, program_of
from tepui.wire import mesos

Command = mesos.CommandInfo
NEITHER = ImageConfig()
CMD = ImageConfig(cmd=("serve", "--all"))
ENTRY = ImageConfig(entrypoint=("/init", "-x"))
BOTH = ImageConfig(entrypoint=("/init", "-x"), cmd=("serve", "--all"))
NOTHING = Command(shell=False)
ARGUMENTS = Command(shell=False, arguments=("a", "b"))
VALUE = Command(shell=False, value="/bin/do")
WHOLE = Command(shell=False, value="/bin/do", arguments=("do", "it"))
LINE = Command(value="do it")


@pytest.mark.parametrize(
    ("command", "image", "argv"),
    [
        (NOTHING, CMD, ("serve", "--all")),
        (NOTHING, ENTRY, ("/init", "-x")),
        (NOTHING, BOTH, ("/init", "-x", "serve", "--all")),
        (ARGUMENTS, CMD, ("serve", "a", "b")),
        (ARGUMENTS, ENTRY, ("/init", "-x", "a", "b")),
        (ARGUMENTS, BOTH, ("/init", "-x", "a", "b")),
    ],
)
def test_an_image_says_what_its_task_does_not(
    command: Command, image: ImageConfig, argv: tuple[str, ...]
) -> None:
    assert program_of(command, image) == (argv[0], argv)


@pytest.mark.parametrize("image", [None, NEITHER, CMD, ENTRY, BOTH])
def test_a_program_that_the_task_names_is_run_whatever_the_image(image: ImageConfig | None) -> None:
    assert program_of(VALUE, image) == ("/bin/do", ("/bin/do",))
    assert program_of(WHOLE, image) == ("/bin/do", ("do", "it"))
    assert program_of(LINE, image) == ("/bin/sh", ("sh", "-c", "do it"))


@pytest.mark.parametrize("command", [NOTHING, ARGUMENTS])
def test_without_any_program_there_is_none(command: Command) -> None:
    with pytest.raises(Unsupported, match="names no program, and neither does the image"):
        program_of(command, NEITHER)


@pytest.mark.parametrize(
    ("command", "image", "argv"),
    [
        (NOTHING, BOTH, ("/init", "-x", "serve", "--all")),
        (WHOLE, BOTH, ("/init", "-x", "/bin/do", "do", "it")),
        (WHOLE, CMD, ("/bin/do", "do", "it")),
        (ARGUMENTS, CMD, ("a", "b")),
        (ARGUMENTS, NEITHER, ("a", "b")),
    ],
)
def test_with_docker_the_words_follow_the_entrypoint(
    command: Command, image: ImageConfig, argv: tuple[str, ...]
) -> None:
    assert docker_program_of(command, image) == (argv[0], argv)
    assert docker_program_of(LINE, image) == ("/bin/sh", ("sh", "-c", "do it"))


def test_the_tasks_own_variables_win_over_the_images_and_these_over_the_agents() -> None:
    image = ImageConfig(environment=("PATH=/image", "A=image", "B=image", "torn", "=x"))
    variable = mesos.Environment.Variable(name="A", value="own")
    command = Command(value="x", environment=mesos.Environment(variables=(variable,)))
    agents = {"PATH": "/agent", "MESOS_SANDBOX": "/host", "A": "own"}
    assert environment_in(image, command, agents, sandbox="/inside", home="/home") == {
        "HOME": "/home",
        "PATH": "/image",
        "A": "own",
        "B": "image",
        "MESOS_SANDBOX": "/inside",
    }
    plain = environment_in(ImageConfig(), command, agents, sandbox="/inside", home="/home")
    assert plain["PATH"] == "/agent"
