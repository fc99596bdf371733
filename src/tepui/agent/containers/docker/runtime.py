"""Runs containers through Docker Engine. Mesos: slave/containerizer/docker.cpp.

The Engine keeps what there is: a container that ended stays there until its exit is forgotten, found again by
its labels. One task a container (`_watch`) waits for its end at the Engine, over and over while the Engine is
away. Its output is taken over by `Following`.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Callable, Coroutine
from datetime import datetime
from functools import partial

from tepui.agent.containers.docker.answers import (
    EXIT_CODE_OF_SIGNALS,
    NOT_STARTED,
    Info,
    Inspected,
    exited_of,
)
from tepui.agent.containers.docker.credentials import credentials_for
from tepui.agent.containers.docker.engine import (
    NOT_FOUND,
    Engine,
    EngineAway,
    EngineRefused,
    NewLimits,
)
from tepui.agent.containers.docker.following import Following
from tepui.agent.containers.docker.kernel_log import KernelLog
from tepui.agent.containers.docker.output import Plan
from tepui.agent.containers.docker.request import (
    CFS_PERIOD_US,
    CPU_SHARES_PER_CPU,
    LABEL_AGENT,
    LABEL_CONTAINER,
    LABEL_PARENT,
    LOG_DRIVER,
    MEM_BYTES_MIN,
    Request,
    name_of,
    quota_of,
    request_of,
    shares_of,
)
from tepui.agent.containers.docker.sessions import VARIABLE, Session, end_left_over
from tepui.agent.containers.docker.settings import DockerSettings
from tepui.agent.containers.docker.streams import Streams, hijack
from tepui.agent.containers.docker.usage import (
    Places,
    memory_in_use,
    pids,
    places_of,
    signal_all,
    start_time_of,
    used,
)
from tepui.agent.containers.runtime import OnExit
from tepui.agent.containers.spec import (
    NO_LIMIT,
    Capabilities,
    ContainerSpec,
    Exited,
    Found,
    InsideDocker,
    Started,
    Stdio,
    Usage,
)
from tepui.base import tasks
from tepui.base.errors import HostError

AGAIN_S = 0.1  # until the Engine is asked again, and twice as long each time it is away
AGAIN_S_MAX = 5.0
KEPT_SUFFIX_CHARACTERS = 12
UNLIMITED_BYTES = 1 << 62  # the Engine cannot lift a limit of memory; this one none will reach
# Of a container that ends meanwhile the Engine does not take what is left in its pipes.
UNHEARD_TEXT = "Docker Engine was away when it ended, and may have lost what it printed last"
REMOVED_TEXT = "someone else removed the container from Docker Engine"

log = logging.getLogger("tepui.agent")


class Container:
    """One container, from its creation until it is forgotten."""

    def __init__(self, container_id: str, parent: str | None) -> None:
        self.container_id = container_id
        self.parent = parent
        self.engine_id = ""  # '' of a session
        self.session: Session | None = None
        self.pid = 0
        self.start_time = 0
        self.cpus_milli = 0
        self.mem_bytes = 0
        self.stop_signal = ""
        self.prints_to_terminal = False  # nobody takes its output over
        self.killed_before: int | None = None  # for want of memory, when it began: see KernelLog
        self.is_running = False
        self.is_doomed = False  # it is to be killed as soon as the Engine is there
        self.exited: Exited | None = None
        self.gone = asyncio.Event()
        self._places: Places | None = None

    def places(self) -> Places:
        """Its cgroups."""
        if self._places is None or not self._places.any:
            self._places = places_of(self.pid, self.engine_id)
        return self._places

    def pids(self) -> list[int]:
        """All of its processes."""
        return pids(self.places())


class DockerRuntime:
    """A `Runtime` of containers that Docker Engine runs, and of sessions inside them.

    While the Engine is away all methods raise; containers run on, a `destroy` and the exits are made up for
    when it is back. What of the contract the Engine cannot give: an exit with 128 and a signal's number counts
    as that signal; a main process gets only the signals that it handles, and SIGKILL; there are no groups and
    no `umask`; `stdio` and an end that the next agent finds are not for both kinds: containers have ends that
    are kept, sessions have streams. A `parent` ends its containers but shares no limits with them.
    """

    def __init__(self, settings: DockerSettings, on_exit: OnExit) -> None:
        self._settings = settings
        self._on_exit = on_exit
        self._engine = Engine(settings.socket)
        self._streams = Streams(settings.socket)
        self._following = Following(settings.state_directory)
        self._kernel_log = KernelLog()
        self._containers: dict[str, Container] = {}
        self._info: Info | None = None
        self._forgetting: set[asyncio.Future[None]] = set()
        self._jobs: set[asyncio.Task[None]] = set()

    # Runtime

    async def recover(self) -> list[Found]:
        """Return all containers there are."""
        await self._engine.version()
        self._info = await self._engine.info()
        label = f"{LABEL_AGENT}={self._settings.agent}"
        for engine_id in await self._engine.containers(label):
            try:
                one = await self._engine.inspect(engine_id)
            except EngineRefused as error:
                if error.status == NOT_FOUND:
                    continue  # removed meanwhile
                raise
            await self._recover(one)
        await self._engine.in_thread(partial(self._following.keep_only, set(self._containers)))
        for inner in self._containers.values():
            outer = self._containers.get(inner.parent) if inner.parent is not None else None
            if outer is not None and outer.exited is not None and inner.exited is None:
                await self._kill(inner)  # its parent ended while no agent was there
        return [
            Found(one.container_id, one.pid, one.start_time, one.exited)
            for one in self._containers.values()
        ]

    async def launch(
        self,
        spec: ContainerSpec,
        stdio: Stdio | None = None,
        progress: Callable[[str], None] | None = None,
    ) -> Started:
        """Start a container, its image pulled if need be: `progress` is told of that."""
        name = spec.container_id
        if name in self._containers:
            raise HostError("launch", f"'{name}'", "there is a container of this id")
        if spec.parent is not None:
            self._running(spec.parent)
        container = self._containers[name] = Container(name, spec.parent)
        try:
            if spec.inside is not None:
                return await self._launch_session(container, spec, stdio)
            if stdio is not None:
                cause = "only sessions inside a Docker container have streams that are handed over"
                raise HostError("launch", f"'{name}'", cause)
            request = request_of(spec, self._settings)
            if request.pull == "always":
                await self._pull(spec, request, progress)
            try:
                engine_id, warnings = await self._created(spec, request)
            except EngineRefused as error:
                if error.status != NOT_FOUND or request.pull != "missing":
                    raise
                await self._pull(spec, request, progress)
                engine_id, warnings = await self._created(spec, request)
            return await self._start(container, spec, request, engine_id, warnings)
        except BaseException:
            self._drop(name)
            raise

    async def terminal(self, container_id: str) -> int:
        """Return a descriptor of the terminal's other side: a socket."""
        container = self._running(container_id)
        if container.session is not None:
            return container.session.terminal()
        output = 1 if container.prints_to_terminal else 0
        path = f"containers/{container.engine_id}/attach?stream=1&stdin=1&stdout={output}"
        attached = await self._engine.in_thread(partial(hijack, self._engine.socket, path, {}))
        return attached.detach()

    async def resize(self, container_id: str, rows: int, columns: int) -> None:
        """The container's terminal has this size."""
        container = self._running(container_id)
        if container.session is not None:
            await container.session.resize(rows, columns)
        else:
            await self._engine.resize(container.engine_id, rows, columns, is_exec=False)

    async def signal(self, container_id: str, signum: int) -> None:
        """Send a signal to every process of the container.

        In place of SIGTERM the image's own stop signal is sent, where it names one.
        """
        container = self._known(container_id)
        if container.exited is not None:
            return
        if signum == signal.SIGKILL:
            await self.destroy(container_id)
        elif container.session is not None:
            container.session.kill(signum)
        else:
            chosen: int | str = signum
            if signum == signal.SIGTERM and container.stop_signal:
                chosen = container.stop_signal
            places = container.places()
            await self._engine.kill(container.engine_id, chosen)
            if (number := _number_of(chosen)) is not None:
                signal_all(places, number, but=container.pid)

    async def destroy(self, container_id: str) -> None:
        """Kill every process of the container; while the Engine is away, as soon as it is back."""
        container = self._known(container_id)
        if container.exited is not None:
            return
        container.is_doomed = True
        await self._kill(container)

    async def update(
        self,
        container_id: str,
        cpus_milli: int,
        mem_bytes: int,
        *,
        cpus_limit_milli: int = 0,
        mem_soft_bytes: int = 0,
    ) -> tuple[str, ...]:
        """Set new limits."""
        container = self._running(container_id)
        if container.session is not None:
            return ()
        notes: list[str] = []
        limits = NewLimits()
        if cpus_milli:
            limits.cpu_shares = shares_of(cpus_milli)
        if cpus_limit_milli:
            is_limit = cpus_limit_milli != NO_LIMIT
            limits.cpu_period = CFS_PERIOD_US
            limits.cpu_quota = quota_of(cpus_limit_milli) if is_limit else NO_LIMIT
        if mem_bytes == NO_LIMIT:
            limits.memory = limits.memory_swap = UNLIMITED_BYTES
        elif mem_bytes:
            wanted = max(mem_bytes, MEM_BYTES_MIN)
            in_use = memory_in_use(container.places())
            if 0 < wanted < in_use and not 0 < container.mem_bytes < wanted:
                notes.append(
                    f"the memory limit stays at {container.mem_bytes} bytes:"
                    f" more than {wanted} are used"
                )
            else:
                limits.memory = limits.memory_swap = wanted
        if mem_soft_bytes:
            limits.memory_reservation = max(mem_soft_bytes, MEM_BYTES_MIN)
        if limits != NewLimits():
            warnings = await self._engine.update(container.engine_id, limits)
            # Whatever is asked, the Engine also tells what its host's network lacks.
            notes += [text for text in warnings if "forwarding" not in text]
        if cpus_milli or cpus_limit_milli:
            container.cpus_milli = cpus_milli or cpus_limit_milli
        if limits.memory:
            container.mem_bytes = _limit_of(limits.memory)
        return tuple(notes)

    async def usage(self, container_id: str) -> Usage:
        """Return what a running container uses; of a session, what its container does."""
        container = self._running(container_id)
        while container.session is not None and container.parent is not None:
            container = self._running(container.parent)
        now = used(container.places())
        return Usage(
            cpu_user_ms=now.cpu_user_ms,
            cpu_system_ms=now.cpu_system_ms,
            mem_rss_bytes=now.mem_rss_bytes,
            processes=now.processes,
            threads=now.threads,
            cpus_limit_milli=container.cpus_milli,
            mem_limit_bytes=container.mem_bytes,
        )

    async def forget(self, container_id: str) -> None:
        """Nothing of the container is kept, or only for as long as the settings say."""
        forgetting = asyncio.ensure_future(self._forget(container_id))
        self._forgetting.add(forgetting)
        forgetting.add_done_callback(self._forgetting.discard)
        await forgetting

    async def _forget(self, container_id: str) -> None:
        container = self._containers.get(container_id)
        if container is None:
            return
        if container.exited is None:
            raise HostError("forget", f"'{container_id}'", "it has not exited")
        if container.engine_id:
            await self._dispose(container)
        self._containers.pop(container_id, None)
        await self._engine.in_thread(partial(self._following.forget, container_id))

    def capabilities(self) -> Capabilities:
        """Return what this machine enforces; known after `recover`."""
        assert self._info is not None, "recover is called first"
        held = {
            "cpu": self._info.cpu_shares,
            "cpu-quota": self._info.cpu_quota,
            "memory": self._info.memory_limit,
            "pids": self._info.pids_limit,
            "cpuset": self._info.cpu_set,
        }
        enforced = ("kill", *(name for name, holds in held.items() if holds), "devices")
        missing = [name for name, holds in held.items() if not holds]
        unenforced = (
            f"not enforced: {', '.join(missing)} (Docker Engine's machine cannot)"
            if missing
            else ""
        )
        return Capabilities(enforced, unenforced)

    # More than a Runtime

    async def addresses(self, container_id: str) -> tuple[str, ...]:
        """Return the container's own addresses; none where it has the host's network."""
        container = self._running(container_id)
        return _addresses_of(await self._engine.inspect(container.engine_id))

    async def close(self) -> None:
        """The agent ends: containers run on, and what is known of them is kept for the next."""
        for job in list(self._jobs):
            job.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)
        for container in self._containers.values():
            if container.session is not None:
                container.session.kill(signal.SIGKILL)
                container.session.close()
        await asyncio.gather(*self._forgetting, return_exceptions=True)
        await asyncio.to_thread(self._following.close)
        self._kernel_log.close()
        await self._streams.close()
        self._engine.close()

    # Launching

    async def _pull(
        self, spec: ContainerSpec, request: Request, progress: Callable[[str], None] | None
    ) -> None:
        image, own, sandbox = request.body.image, self._settings.credentials, spec.directory
        # In a thread: a program that knows the credentials may be asked.
        header = await self._engine.in_thread(partial(credentials_for, image, own, sandbox))
        await self._streams.pull(image, request.platform, header, progress or _nobody)

    async def _created(self, spec: ContainerSpec, request: Request) -> tuple[str, list[str]]:
        name = name_of(spec.container_id)
        making = asyncio.ensure_future(self._engine.create(name, request.body, request.platform))
        try:
            return await asyncio.shield(making)
        except asyncio.CancelledError:
            self._job(self._undo(making))
            raise

    async def _undo(self, making: asyncio.Future[tuple[str, list[str]]]) -> None:
        """What is being made for a launch that nobody waits for is removed."""
        try:
            engine_id, _ = await making
        except HostError:
            return
        await self._removed(engine_id)

    async def _start(
        self,
        container: Container,
        spec: ContainerSpec,
        request: Request,
        engine_id: str,
        warnings: list[str],
    ) -> Started:
        container.engine_id = engine_id
        notes = list(warnings)
        if not request.is_output_kept and (spec.stdout is not None or spec.stderr is not None):
            notes.append(
                "its output goes where the parameter 'log-driver' says, not to the sandbox"
            )
        starting = asyncio.ensure_future(self._reach(container, spec, request))
        try:
            one = await asyncio.shield(starting)
        except BaseException:
            self._job(self._removed_after(starting, engine_id, spec.container_id))
            raise
        self._take_over(container, one)
        container.prints_to_terminal = spec.tty is not None and spec.stdout is None
        self._job(self._watch(container))
        return Started(
            spec.container_id,
            container.pid,
            container.start_time,
            tuple(notes),
            addresses=_addresses_of(one),
        )

    async def _reach(
        self, container: Container, spec: ContainerSpec, request: Request
    ) -> Inspected:
        if request.is_output_kept:
            plan = Plan(
                directory=spec.directory,
                stdout=spec.stdout,
                stderr=spec.stderr,
                bytes_max=spec.output_bytes_max,
            )
            begin = partial(self._following.begin, spec.container_id, plan)
            await self._engine.in_thread(begin)
        container.killed_before = await self._engine.in_thread(self._kernel_log.killed)
        await self._engine.start(container.engine_id)
        one = await self._engine.inspect(container.engine_id)
        if request.is_output_kept:
            self._following.follow(spec.container_id, one.log_path)
        return one

    async def _removed_after(
        self, starting: asyncio.Future[Inspected], engine_id: str, container_id: str
    ) -> None:
        await asyncio.wait([starting])
        if not starting.cancelled():
            starting.exception()  # it was told, or nobody wants to know
        await self._removed(engine_id)
        await self._engine.in_thread(partial(self._following.forget, container_id))

    def _take_over(self, container: Container, one: Inspected) -> None:
        container.engine_id = one.id
        container.is_running = True
        container.pid = one.state.pid
        container.start_time = start_time_of(one.state.pid) if one.state.pid else 0
        container.cpus_milli = round(one.host_config.cpu_shares * 1000 / CPU_SHARES_PER_CPU)
        container.mem_bytes = _limit_of(one.host_config.memory)
        container.stop_signal = one.config.stop_signal
        container.places()  # as long as the process is there

    async def _launch_session(
        self, container: Container, spec: ContainerSpec, stdio: Stdio | None
    ) -> Started:
        inside, outer = spec.inside, self._running(spec.parent or "")
        assert isinstance(inside, InsideDocker), "only sessions in such containers come here"
        while outer.session is not None:
            outer = self._running(outer.parent or "")
        environment = spec.environment | {VARIABLE: spec.container_id}
        exec_id = await self._engine.create_exec(
            outer.engine_id,
            [spec.program, *spec.argv[1:]],
            [f"{name}={value}" for name, value in environment.items()],
            inside.directory,
            inside.user,
            tty=spec.tty is not None,
            stdin=stdio is not None or spec.tty is not None,
        )
        session = Session(self._engine, spec, exec_id, outer.pids)
        await session.start(stdio)
        container.session = session
        container.pid, container.start_time = session.pid, session.start_time
        container.is_running = True
        self._job(self._watch_session(container, session))
        return Started(spec.container_id, session.pid, session.start_time)

    # Ending

    async def _watch(self, container: Container) -> None:
        """Wait for the end, however often the Engine goes away meanwhile, and tell it."""
        again_s, was_away = AGAIN_S, False
        while True:
            try:
                if container.is_doomed:
                    await self._kill(container)
                if not was_away:
                    await self._streams.wait(container.engine_id)
                one = await self._inspected(container)
            except HostError as error:
                log.debug("not_waited container=%s reason=%s", container.container_id, error)
                was_away = was_away or isinstance(error, EngineAway)
                await asyncio.sleep(again_s)
                again_s = min(AGAIN_S_MAX, again_s * 2)
                continue
            if one is None or not one.state.running:
                break
            again_s, was_away = AGAIN_S, False
        text = UNHEARD_TEXT if was_away else ""
        await self._tell(container, await self._exit_of(container, one, text))

    async def _inspected(self, container: Container) -> Inspected | None:
        """Return all about it; None when the Engine has it no more."""
        try:
            return await self._engine.inspect(container.engine_id)
        except EngineRefused as error:
            if error.status != NOT_FOUND:
                raise
            return None

    async def _exit_of(self, container: Container, one: Inspected | None, text: str) -> Exited:
        name = container.container_id
        lost = await self._engine.in_thread(partial(self._following.finish, name))
        if one is None:
            return Exited(name, signal.SIGKILL, text=_joined(REMOVED_TEXT, lost))
        return exited_of(name, one, _joined(text, lost), oom=await self._is_oom(container, one))

    async def _is_oom(self, container: Container, one: Inspected) -> bool:
        """Whether it ended for want of memory: the Engine does not always know."""
        if one.state.oom_killed or not one.state.exit_code or not one.host_config.memory:
            return one.state.oom_killed
        if await self._engine.in_thread(partial(self._kernel_log.has_cgroup, one.id)):
            return True
        if one.state.exit_code != EXIT_CODE_OF_SIGNALS + signal.SIGKILL or container.is_doomed:
            return False
        if container.killed_before is None:
            return False  # of an earlier agent: what was killed may have had another's number
        pids = self._kernel_log.pids_since(container.killed_before)
        if container.pid:
            return container.pid in pids
        # It had ended before it could be looked at: so had whoever else it may have been.
        return bool(pids - {other.pid for other in self._containers.values()})

    async def _watch_session(self, container: Container, session: Session) -> None:
        try:
            exited = await session.ended()
        except HostError as error:
            session.close()
            exited = Exited(container.container_id, signal.SIGKILL, text=str(error))
        await self._tell(container, exited)

    async def _tell(self, container: Container, exited: Exited) -> None:
        """The exit is final: those that lived in it are gone."""
        children = [
            one for one in self._containers.values() if one.parent == container.container_id
        ]
        for child in children:
            if child.is_running and child.exited is None:
                try:
                    await self.destroy(child.container_id)
                except HostError as error:
                    log.warning("destroy_failed container=%s reason=%s", child.container_id, error)
        for child in children:
            if child.is_running:
                await child.gone.wait()
        container.exited = exited
        container.gone.set()
        self._on_exit(exited)

    async def _kill(self, container: Container) -> None:
        if container.session is not None:
            container.session.kill(signal.SIGKILL)
        else:
            await self._engine.kill(container.engine_id, signal.SIGKILL)

    async def _dispose(self, container: Container) -> None:
        """The Engine has it no more, or under a name that tells that it was forgotten."""
        delay_ms = self._settings.remove_delay_ms
        if not delay_ms:
            await self._engine.remove(container.engine_id)
            return
        kept = f"{name_of(container.container_id)}.{container.engine_id[:KEPT_SUFFIX_CHARACTERS]}"
        try:
            await self._engine.rename(container.engine_id, kept)
        except EngineRefused as error:
            if error.status != NOT_FOUND:
                raise
            return
        self._job(self._removed(container.engine_id, after_s=delay_ms / 1000))

    async def _removed(self, engine_id: str, *, after_s: float = 0.0) -> None:
        """The Engine has the container no more, however long it is away."""
        await asyncio.sleep(after_s)
        again_s = AGAIN_S
        while True:
            try:
                await self._engine.remove(engine_id)
            except EngineAway:
                await asyncio.sleep(again_s)
                again_s = min(AGAIN_S_MAX, again_s * 2)
            except HostError as error:
                log.warning("remove_failed engine_id=%s reason=%s", engine_id, error)
                return
            else:
                return

    # Recovering

    async def _recover(self, one: Inspected) -> None:
        name = one.labels.get(LABEL_CONTAINER, "")
        if one.state.status == NOT_STARTED:
            await self._engine.remove(one.id)  # its launch was not finished: nobody knows of it
            return
        if one.name.removeprefix("/") != name_of(name):
            self._job(self._removed(one.id, after_s=self._remaining_s(one)))
            return
        container = self._containers[name] = Container(name, one.labels.get(LABEL_PARENT))
        self._take_over(container, one)
        container.prints_to_terminal = one.config.tty
        text = ""
        if one.host_config.log_config.type == LOG_DRIVER:
            if await self._engine.in_thread(partial(self._following.resume, name)):
                self._following.follow(name, one.log_path)
                container.prints_to_terminal = False
            else:
                text = "what it printed while no agent was there is not in its sandbox"
        if one.state.running:
            # Those of an earlier agent end: it cannot be known how they would.
            await self._engine.in_thread(lambda: end_left_over(container.pids()))
            self._job(self._watch(container))
            return
        lost = await self._engine.in_thread(partial(self._following.finish, name))
        is_oom = await self._is_oom(container, one)
        container.exited = exited_of(name, one, _joined(text, lost), oom=is_oom)
        container.gone.set()

    def _remaining_s(self, one: Inspected) -> float:
        try:
            ended = datetime.fromisoformat(one.state.finished_at[:19] + "+00:00").timestamp()
        except ValueError:
            return 0.0
        return max(0.0, ended + self._settings.remove_delay_ms / 1000 - time.time())

    # What is known

    def _known(self, container_id: str) -> Container:
        container = self._containers.get(container_id)
        if container is None or not container.is_running:
            raise HostError("find", f"'{container_id}'", "there is no such container")
        return container

    def _running(self, container_id: str) -> Container:
        container = self._known(container_id)
        if container.exited is not None:
            raise HostError("find", f"'{container_id}'", "the container has exited")
        return container

    def _drop(self, container_id: str) -> None:
        self._containers.pop(container_id, None)

    def _job(self, doing: Coroutine[None, None, None]) -> None:
        job = tasks.start(doing)
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)


def _number_of(name: int | str) -> int | None:
    """Return a signal's number; None for a name that is not known here."""
    if isinstance(name, int):
        return name
    if name.isdigit():
        return int(name)
    try:
        return signal.Signals["SIG" + name.upper().removeprefix("SIG")]
    except KeyError:
        return None


def _addresses_of(one: Inspected) -> tuple[str, ...]:
    return tuple(
        address
        for endpoint in (one.network_settings.networks or {}).values()
        if endpoint is not None
        for address in (endpoint.ip_address, endpoint.ipv6_address)
        if address
    )


def _joined(*texts: str) -> str:
    return "; ".join(text for text in texts if text)


def _limit_of(mem_bytes: int) -> int:
    return mem_bytes if 0 < mem_bytes < UNLIMITED_BYTES else 0


def _nobody(text: str) -> None:
    """Nobody wants to know of the pull."""
