"""Containers whose users are nobody on the host, from end to end: networks, secrets, pods, and an agent's death."""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path

import pytest
from msgspec.structs import replace

from tepui.agent.containers.isolation.user_support import refuse_without_users
from tepui.agent.containers.oci.finding import find_runtime
from tepui.base.errors import Refused
from tepui.wire import mesos
from tepui.wire.mesos import TaskState
from tests.cli.up_process import TEPUI, finished
from tests.real.container_images import WORKER
from tests.real.container_lab import Lab, Scheduler, container
from tests.real.test_containers import BRIDGE, asked, on_bridge, secret, volume
from tests.real.test_pods import pod as executor

FIRST, COUNT = 1_950_000_000, 1 << 16
RANGES = 6
LAST = FIRST + RANGES * COUNT - 1
OFFERS_MAX = 5
AGENT_FLAGS = (
    "--isolation=cgroups/cpu,cgroups/mem,namespaces/user",
    f"--user_namespace_ids={FIRST}-{LAST}",
)


def lacking() -> str:
    """Why this machine gives containers no users of their own; '' when it does."""
    if os.geteuid() != 0:
        return "user namespaces with many users need root"
    try:
        refuse_without_users(*find_runtime(), "/tmp", "/tmp", FIRST)
    except Refused as refused:
        return str(refused)
    return ""


pytestmark = [pytest.mark.real, pytest.mark.skipif(bool(lacking()), reason=lacking())]


def users_of(scheduler: Scheduler, task_id: str) -> int:
    """The host's id of the container's root."""
    uid = scheduler.process(task_id).uids().real
    assert FIRST <= uid <= LAST
    assert (uid - FIRST) % COUNT == 0
    return uid


async def running_again(scheduler: Scheduler, lab: Lab, name: str) -> str:
    """The id of a task that runs: an offer of before the agent's death is dropped."""
    for attempt in range(OFFERS_MAX):
        task_id = f"{name}-{attempt}"
        await scheduler.start(lab.task(task_id, "exec sleep 1000", lab.images.plain))
        await scheduler.until(lambda event: event.update is not None)
        if scheduler.statuses[task_id][-1].state is not TaskState.TASK_DROPPED:
            await scheduler.runs(task_id)
            return task_id
    raise AssertionError("no offer held")


def test_agent_that_cannot_have_users_of_containers_says_why_and_does_not_start(
    tmp_path: Path,
) -> None:
    unmapped = "/proc"  # no kernel maps its owners
    words = [
        *TEPUI, "agent", "--master=127.0.0.1:1", "--ip=127.0.0.1", "--port=0", *AGENT_FLAGS,
        f"--work_dir={tmp_path}", f"--runtime_dir={tmp_path}/run", f"--docker_store_dir={unmapped}",
    ]  # fmt: skip
    agent = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    code, _, err = finished(agent)
    assert code == 1
    refusal = (
        f"'namespaces/user': the file system of '{unmapped}' cannot be mounted for other users"
    )
    assert refusal in err
    assert os.listdir(tmp_path / "containers") == []


def test_root_of_each_container_is_another_nobody(lab: Lab) -> None:
    async def story(scheduler: Scheduler) -> None:
        line = "id -u; cat /proc/self/uid_map; touch mine; exec sleep 1000"
        for name in ("a", "b"):
            await scheduler.running(lab.task(name, line, lab.images.plain))
        assert users_of(scheduler, "a") != users_of(scheduler, "b")
        for name in ("a", "b"):
            await scheduler.wrote(name, str(COUNT))
            assert scheduler.output(name).split()[:2] == ["0", "0"]
            assert os.stat(scheduler.sandbox(name) / "stdout").st_uid == 0
            await scheduler.kill(name)

    lab.play(story)


def test_user_of_the_image_reads_its_secret_and_writes_its_sandbox(lab: Lab) -> None:
    async def story(scheduler: Scheduler) -> None:
        info = container(volumes=(volume("/secret", secret=secret(b"word")),))
        task = lab.task("t", "cat /secret; stat -c %u /secret; id -u; touch mine", lab.images.plain)
        task = replace(task, container=replace(info, mesos=task.container and task.container.mesos))
        assert task.command is not None
        task = replace(task, command=replace(task.command, user="worker"))
        said = await scheduler.said(task)
        assert said == f"word{WORKER}\n{WORKER}\n"
        assert (scheduler.sandbox("t") / "mine").stat().st_uid == WORKER

    lab.play(story)


def test_container_serves_a_small_port_on_the_bridge(lab: Lab) -> None:
    async def story(scheduler: Scheduler) -> None:
        line = "echo of the container >index.html; ls /sys/class/net; exec httpd -f -p 80"
        task = lab.task(
            "web", line, lab.images.plain, container=on_bridge((31_080, 80)), ports=[31_080]
        )
        await scheduler.running(task)
        users_of(scheduler, "web")
        assert "of the container" in await asked("127.0.0.1", 31_080, "/index.html")
        assert scheduler.output("web").split() == ["eth0", "lo"]
        await scheduler.kill("web")

    lab.play(story)


def test_tasks_of_a_pod_share_a_network_and_users(lab: Lab) -> None:
    async def story(scheduler: Scheduler) -> None:
        info = container(network_infos=(mesos.NetworkInfo(name=BRIDGE),))
        pod = executor("pod", info)
        line = "readlink /proc/self/ns/net; readlink /proc/self/ns/user; exec sleep 1000"
        tasks = [lab.task(name, line, lab.images.plain) for name in ("one", "two")]
        await scheduler.start_group(pod, *tasks)
        for task in ("one", "two"):
            await scheduler.runs(task)
            await scheduler.wrote(task, "user:")
        assert scheduler.output("one") == scheduler.output("two")
        assert users_of(scheduler, "one") == users_of(scheduler, "two")
        await scheduler.kill("one")
        await scheduler.ended("two")

    lab.play(story)


def test_users_stay_a_containers_own_when_the_agent_has_died(lab: Lab) -> None:
    async def story(scheduler: Scheduler) -> None:
        before = lab.task("before", "exec sleep 1000", lab.images.plain)
        await scheduler.running(before)
        first = users_of(scheduler, "before")
        await asyncio.to_thread(lab.restart_agent)
        after = [await running_again(scheduler, lab, f"after-{number}") for number in range(3)]
        assert first not in {users_of(scheduler, name) for name in after}
        assert users_of(scheduler, "before") == first
        for name in ("before", *after):
            await scheduler.kill(name)

    lab.play(story)


def test_a_container_beyond_the_last_range_fails_in_words(lab: Lab) -> None:
    async def story(scheduler: Scheduler) -> None:
        names = [f"t{number}" for number in range(RANGES)]
        for name in names:
            await scheduler.running(lab.task(name, "exec sleep 1000", lab.images.plain, mem_mib=32))
        assert len({users_of(scheduler, name) for name in names}) == len(names)
        end = await scheduler.ran(lab.task("more", "true", lab.images.plain, mem_mib=32))
        assert end.state is TaskState.TASK_FAILED
        assert f"all {RANGES} ranges of --user_namespace_ids are taken" in (end.message or "")
        await scheduler.kill(names[0])
        grounds = lab.work / "grounds"
        await asyncio.to_thread(
            lab.cluster.wait_until,
            lambda: len(os.listdir(grounds)) < RANGES,
            "no ground of a container that has ended",
        )
        end = await scheduler.ran(lab.task("next", "true", lab.images.plain, mem_mib=32))
        assert end.state is TaskState.TASK_FINISHED
        for name in names[1:]:
            await scheduler.kill(name)

    lab.play(story)


def test_container_of_the_hosts_files_keeps_the_hosts_users(lab: Lab) -> None:
    async def story(scheduler: Scheduler) -> None:
        files = mesos.Volume(mode=mesos.Volume.Mode.RO, container_path="data", host_path="/usr")
        info = container(volumes=(files,))
        said = await scheduler.said(lab.task("t", "readlink /proc/self/ns/user", container=info))
        assert said.strip() == os.readlink("/proc/self/ns/user")

    lab.play(story)
