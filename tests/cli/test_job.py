"""The decisions of `tepui run`."""

from __future__ import annotations

import pytest

from tepui.base.errors import Refused
from tepui.cli.job import Job, Shape, how_it_ended, meets, ports_elsewhere, too_large
from tepui.sdk.tasks import resources
from tepui.wire import mesos
from tepui.wire.mesos import TaskState

STAGING = TaskState.TASK_STAGING


def offer(number: int = 1, cpus: float = 1, mem_mib: float = 1024, **texts: str) -> mesos.Offer:
    attributes = tuple(
        mesos.Attribute(name=name, type=mesos.Value.Type.TEXT, text=mesos.Value.Text(value))
        for name, value in texts.items()
    )
    return mesos.Offer(
        id=mesos.OfferID(f"o{number}"),
        framework_id=mesos.FrameworkID("f"),
        agent_id=mesos.AgentID(f"a{number}"),
        hostname=f"h{number}",
        resources=resources(cpus=cpus, mem_mib=mem_mib),
        attributes=attributes,
    )


def status(task_id: str, state: TaskState, message: str | None = None) -> mesos.TaskStatus:
    return mesos.TaskStatus(task_id=mesos.TaskID(task_id), state=state, message=message)


def job(count: int = 1) -> Job:
    return Job("j", Shape(cpus=0.5, mem_mib=10), ["true"] * count)


def placed_ids(job: Job, *offers: mesos.Offer) -> list[list[str]]:
    return [[task.task_id.value for task in placed.tasks] for placed in job.place(offers)]


def test_one_task_has_the_jobs_name_and_several_have_numbers_of_one_width() -> None:
    assert [piece.task_id for piece in job().pieces] == ["j"]
    assert [piece.task_id for piece in job(10).pieces][::9] == ["j-01", "j-10"]


def test_as_many_tasks_as_fit_go_on_each_offer() -> None:
    many = job(5)
    assert placed_ids(many, offer(1), offer(2), offer(3)) == [
        ["j-1", "j-2"],
        ["j-3", "j-4"],
        ["j-5"],
    ]
    assert many.waiting == 0


def test_offer_that_is_too_small_or_not_needed_is_declined() -> None:
    one = job()
    assert placed_ids(one, offer(1, cpus=0.4), offer(2), offer(3)) == [[], ["j"], []]


def test_machine_without_the_attribute_is_not_taken() -> None:
    shape = Shape(constraints=(("rack", "r1"), ("hostname", "h2")))
    one = Job("j", shape, ["true"])
    assert placed_ids(one, offer(1, rack="r1"), offer(2, rack="r2"), offer(2, rack="r1")) == [
        [],
        [],
        ["j"],
    ]


def test_constraint_is_compared_as_the_value_is_written() -> None:
    number = mesos.Attribute(
        name="level", type=mesos.Value.Type.SCALAR, scalar=mesos.Value.Scalar(3.0)
    )
    with_number = mesos.Offer(
        id=mesos.OfferID("o"),
        framework_id=mesos.FrameworkID("f"),
        agent_id=mesos.AgentID("a"),
        hostname="h",
        attributes=(number,),
    )
    assert meets(with_number, [("level", "3")])
    assert not meets(with_number, [("level", "4")])


def test_a_line_goes_to_the_shell_and_words_do_not() -> None:
    two = Job("j", Shape(env={"A": "b"}, user="u"), ["a | b", ("c", "d")])
    line, words = two.place([offer()])[0].tasks
    assert line.command is not None
    assert words.command is not None
    assert (line.command.shell, line.command.value) == (True, "a | b")
    assert (words.command.shell, words.command.value) == (False, "c")
    assert words.command.arguments == ("c", "d")
    assert words.command.user == "u"


def test_tasks_of_a_void_offer_wait_again() -> None:
    one = job()
    (placed,) = one.place([offer()])
    one.launch_failed(placed.tasks)
    assert one.waiting == 1
    assert one.live() == []


def test_job_is_over_when_all_have_ended_and_its_exit_code_is_the_largest() -> None:
    two = job(2)
    two.place([offer()])
    two.updated(status("j-1", TaskState.TASK_RUNNING))
    assert two.running == 1
    two.updated(status("j-1", TaskState.TASK_FAILED, "Command exited with status 3"))
    assert not two.is_over
    two.updated(status("j-2", TaskState.TASK_FINISHED))
    assert two.is_over
    assert (two.failed, two.exit_code()) == (1, 3)


def test_update_of_a_stranger_or_after_the_end_changes_nothing() -> None:
    one = job()
    assert one.updated(status("j", TaskState.TASK_RUNNING)) is None  # it was not launched
    one.place([offer()])
    assert one.updated(status("x", TaskState.TASK_RUNNING)) is None
    assert one.updated(status("j", TaskState.TASK_FINISHED)) is not None
    assert one.updated(status("j", TaskState.TASK_FAILED)) is None
    assert one.exit_code() == 0


def test_what_was_not_placed_ends_when_the_job_is_given_up() -> None:
    three = job(3)
    three.place([offer()])
    three.give_up()
    assert three.ended == 1
    assert [piece.task_id for piece in three.live()] == ["j-1", "j-2"]


@pytest.mark.parametrize(
    ("state", "message", "code", "why"),
    [
        ("FINISHED", "Command exited with status 0", 0, ""),
        ("FAILED", "Command exited with status 7", 7, ""),
        (
            "FAILED",
            "Command terminated with signal Killed",
            137,
            "Command terminated with signal Killed",
        ),
        ("FAILED", "Command terminated with signal Segmentation fault (core dumped)", 139, None),
        ("KILLED", "Command terminated with signal Terminated", 143, None),
        ("KILLED", None, 143, "was killed"),
        (
            "FAILED",
            "Failed to launch container: start 'x': no such file or directory (ENOENT)",
            127,
            None,
        ),
        ("FAILED", "Failed to launch container: start '/': permission denied (EACCES)", 126, None),
        (
            "FAILED",
            "Failed to launch container: start 'x': executable file `x` not found in $PATH: No such file",
            127,
            None,
        ),
        (
            "FAILED",
            "Failed to launch container: start 'x': exec: \"x\": executable file not found in $PATH",
            127,
            None,
        ),
        (
            "FAILED",
            "Failed to launch container: start '/x': open executable: Permission denied",
            126,
            None,
        ),
        (
            "FAILED",
            "Failed to launch container: start 'x': the kernel does not execute it: it is no program",
            126,
            None,
        ),
        ("FAILED", "Failed to launch container: start 'x': mount `proc`: busy", 125, None),
        ("FAILED", "Failed to fetch all URIs", 125, "FAILED: Failed to fetch all URIs"),
        ("LOST", None, 125, "LOST: no reason"),
        ("ERROR", "Task uses\nmore", 125, "ERROR: Task uses more"),
    ],
)
def test_exit_code_says_how_the_command_ended(
    state: str, message: str | None, code: int, why: str | None
) -> None:
    found = how_it_ended(status("j", TaskState[f"TASK_{state}"], message))
    assert found[0] == code
    assert why is None or found[1] == why


def test_too_large_names_what_no_machine_has_even_empty() -> None:
    machines = [resources(cpus=2, mem_mib=100), resources(cpus=4, mem_mib=50)]
    assert too_large(Shape(cpus=4, mem_mib=100), machines) == []
    assert too_large(Shape(cpus=5, mem_mib=100), machines) == [("cpus", 5, 4)]
    assert too_large(Shape(cpus=1, mem_mib=101, gpus=1), machines) == [
        ("mem", 101, 100),
        ("gpus", 1, 0),
    ]


def test_ports_that_no_machine_has_together_are_told_with_those_there_are() -> None:
    machines = [resources(ports=[80, 81]), resources(ports=[82])]
    assert ports_elsewhere(Shape(), machines) is None
    assert ports_elsewhere(Shape(ports=(80, 81)), machines) is None
    told = ports_elsewhere(Shape(ports=(81, 82)), machines)
    assert told is not None
    assert [str(ports) for ports in told] == ["[81-82]", "[80-82]"]


@pytest.mark.parametrize(
    "shape", [Shape(cpus=-1), Shape(mem_mib=float("nan")), Shape(cpus=0, mem_mib=0)]
)
def test_amounts_that_cannot_be_are_refused(shape: Shape) -> None:
    with pytest.raises(Refused):
        Job("j", shape, ["true"])
