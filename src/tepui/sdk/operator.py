"""The operator API of masters and agents: typed calls, the master's event stream, files, JSON.

    async with OperatorClient("127.0.0.1:5050") as master:
        for agent in (await master.get_agents()).agents: ...

Source: Mesos docs/operator-http-api.md.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from random import Random
from types import TracebackType
from typing import Self, TypeAlias, TypeVar, overload

from aiohttp import BasicAuth, ClientConnectorError

from tepui.sdk.core.masters import redirect_target
from tepui.sdk.core.session import HEARTBEAT_INTERVAL_S, MISSED_HEARTBEATS_MAX
from tepui.sdk.core.tail import READ_BYTES, Tail
from tepui.sdk.errors import BadPeer, CallRefused, Disconnected, Unreachable
from tepui.sdk.http import NETWORK_ERRORS, Answer, Http
from tepui.sdk.whereabouts import Whereabouts
from tepui.wire import agent, master, mesos
from tepui.wire.media import Media

PATH = "/api/v1"
POLL_MS = 500  # between reads of a file that does not grow
ATTEMPTS_MAX = 12  # of one call: over all masters and redirects

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
P = TypeVar("P")


class OperatorClient:
    """Calls to one agent, or to the leader among some masters: `host:port`, with commas, or `zk://...`.

    Every call raises CallRefused with the peer's status and reason, Unreachable when nobody could
    be asked, and Disconnected when the connection broke before the answer.
    """

    def __init__(
        self,
        address: str,
        *,
        credential: tuple[str, str] | None = None,
        media: Media = Media.JSON,
        seed: int | None = None,
    ) -> None:
        self._whereabouts = Whereabouts(address, Random(seed).random)
        self._masters = self._whereabouts.masters
        self._media = media
        self._headers = {"Authorization": BasicAuth(*credential).encode()} if credential else {}
        self._open_http: Http | None = None

    async def __aenter__(self) -> Self:
        self._open_http = Http(self._media, self._headers)
        self._whereabouts.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._whereabouts.close()
        if self._open_http is not None:
            await self._open_http.close()

    @property
    def address(self) -> str:
        """The base URL that is asked now; with `zk://` only after the first call."""
        return self._masters.current

    # Any call

    @overload
    async def call(self, call: master.Call) -> master.Response: ...
    @overload
    async def call(self, call: agent.Call) -> agent.Response: ...
    async def call(self, call: master.Call | agent.Call) -> master.Response | agent.Response:
        """Send any call that is answered at once; a call without an answer gives an empty one."""
        answer = await self._ask(call)
        if isinstance(call, master.Call):
            return self._http.decode(master.Response, answer) if answer.body else master.Response()
        return self._http.decode(agent.Response, answer) if answer.body else agent.Response()

    async def get_json(self, path: str, params: Mapping[str, str] | None = None) -> Json:
        """GET a classic endpoint: `/state`, `/metrics/snapshot`, `/slaves` ..."""
        answer = await self._get(path, params or {})
        try:
            found: Json = json.loads(answer.body)
        except ValueError as error:
            raise BadPeer(f"{self.address}{path}: {error}") from None
        return found

    # Of a master

    async def get_state(self) -> master.Response.GetState:
        """Agents, frameworks, executors and tasks, all of one moment."""
        answer = await self._master(master.Call.Type.GET_STATE)
        return answer.get_state or master.Response.GetState()

    async def get_agents(self) -> master.Response.GetAgents:
        """The registered agents, and those that are still expected after a failover."""
        answer = await self._master(master.Call.Type.GET_AGENTS)
        return answer.get_agents or master.Response.GetAgents()

    async def get_frameworks(self) -> master.Response.GetFrameworks:
        """The frameworks, and those that have ended."""
        answer = await self._master(master.Call.Type.GET_FRAMEWORKS)
        return answer.get_frameworks or master.Response.GetFrameworks()

    async def get_executors(self) -> master.Response.GetExecutors:
        """The executors on all agents."""
        answer = await self._master(master.Call.Type.GET_EXECUTORS)
        return answer.get_executors or master.Response.GetExecutors()

    async def get_tasks(self) -> master.Response.GetTasks:
        """The tasks of all frameworks."""
        answer = await self._master(master.Call.Type.GET_TASKS)
        return answer.get_tasks or master.Response.GetTasks()

    async def get_operations(self) -> master.Response.GetOperations:
        """The operations on resources that are under way."""
        answer = await self._master(master.Call.Type.GET_OPERATIONS)
        return answer.get_operations or master.Response.GetOperations()

    async def get_roles(self) -> master.Response.GetRoles:
        """The roles that are in use."""
        answer = await self._master(master.Call.Type.GET_ROLES)
        return answer.get_roles or master.Response.GetRoles()

    async def get_master(self) -> master.Response.GetMaster:
        """Who leads, and since when."""
        answer = await self._master(master.Call.Type.GET_MASTER)
        return answer.get_master or master.Response.GetMaster()

    async def get_quota(self) -> master.Response.GetQuota:
        """The quotas of roles."""
        answer = await self._master(master.Call.Type.GET_QUOTA)
        return _present(answer.get_quota, "get_quota")

    async def get_maintenance_schedule(self) -> master.Response.GetMaintenanceSchedule:
        """The maintenance that is planned."""
        answer = await self._master(master.Call.Type.GET_MAINTENANCE_SCHEDULE)
        return _present(answer.get_maintenance_schedule, "get_maintenance_schedule")

    async def get_version(self) -> mesos.VersionInfo:
        """The version of the master."""
        answer = await self._master(master.Call.Type.GET_VERSION)
        return _present(answer.get_version, "get_version").version_info

    async def get_metrics(self) -> dict[str, float]:
        """The metrics that have a value."""
        call = master.Call(type=master.Call.Type.GET_METRICS, get_metrics=master.Call.GetMetrics())
        found = _present((await self.call(call)).get_metrics, "get_metrics").metrics
        return {metric.name: metric.value for metric in found if metric.value is not None}

    async def teardown(self, framework_id: str) -> None:
        """End a framework and kill its tasks."""
        teardown = master.Call.Teardown(framework_id=mesos.FrameworkID(framework_id))
        await self.call(master.Call(type=master.Call.Type.TEARDOWN, teardown=teardown))

    async def events(self) -> AsyncIterator[master.Event]:
        """What happens in the cluster, first its state; without heartbeats.

        Raises Disconnected when the stream ends or falls silent: subscribe again.
        """
        call = master.Call(type=master.Call.Type.SUBSCRIBE)
        for _ in range(ATTEMPTS_MAX):
            await self._whereabouts.known()
            asked = self.address
            try:
                async with self._http.stream(asked + PATH, call, master.Event) as stream:
                    if stream.status != 200:
                        await self._refused(await stream.refusal())
                        continue
                    self._masters.led()
                    silence_ms = _silence_ms(HEARTBEAT_INTERVAL_S)
                    while events := await stream.next_events(silence_ms):
                        for event in events:
                            if event.subscribed and event.subscribed.heartbeat_interval_seconds:
                                silence_ms = _silence_ms(
                                    event.subscribed.heartbeat_interval_seconds
                                )
                            if event.type is not master.Event.Type.HEARTBEAT:
                                yield event
                    raise Disconnected(f"{asked}: the stream ended")
            except ClientConnectorError:
                await asyncio.sleep(self._masters.failed() / 1000)
            except NETWORK_ERRORS as error:
                raise Disconnected(f"{asked}: {str(error) or type(error).__name__}") from error
        raise Unreachable(f"no leading master answered in {ATTEMPTS_MAX} attempts")

    # Of an agent

    async def get_containers(self) -> agent.Response.GetContainers:
        """The containers on the agent, with what they use."""
        call = agent.Call(
            type=agent.Call.Type.GET_CONTAINERS, get_containers=agent.Call.GetContainers()
        )
        return (await self.call(call)).get_containers or agent.Response.GetContainers()

    async def get_agent_state(self) -> agent.Response.GetState:
        """Frameworks, executors and tasks on the agent."""
        answer = await self.call(agent.Call(type=agent.Call.Type.GET_STATE))
        return answer.get_state or agent.Response.GetState()

    # Files of an agent

    async def list_files(self, path: str) -> tuple[mesos.FileInfo, ...]:
        """What is in a directory; CallRefused with status 404 when there is none."""
        call = agent.Call(
            type=agent.Call.Type.LIST_FILES, list_files=agent.Call.ListFiles(path=path)
        )
        found = (await self.call(call)).list_files
        return found.file_infos if found else ()

    async def read_file(
        self, path: str, offset_bytes: int = 0, length_bytes: int = READ_BYTES
    ) -> agent.Response.ReadFile:
        """A piece of a file and the size of the whole; status 404 when there is none."""
        read = agent.Call.ReadFile(path=path, offset=offset_bytes, length=length_bytes)
        call = agent.Call(type=agent.Call.Type.READ_FILE, read_file=read)
        return _present((await self.call(call)).read_file, "read_file")

    async def read_whole_file(self, path: str) -> AsyncIterator[bytes]:
        """A file in pieces, up to where it ends now."""
        offset_bytes = 0
        while True:
            piece = await self.read_file(path, offset_bytes)
            if not piece.data:
                return
            yield piece.data
            offset_bytes += len(piece.data)

    async def follow_file(
        self,
        path: str,
        *,
        offset_bytes: int = 0,
        ended: asyncio.Event | None = None,
        poll_ms: int = POLL_MS,
    ) -> AsyncIterator[bytes]:
        """What is and will be in a file, such as `<sandbox>/stdout`, across rotations.

        Waits for a file that is not there yet. Never ends without `ended`; once that is set, what
        is still unread comes, then the end. An agent that is away for a while is waited for.
        """
        tail = Tail(path, offset_bytes)
        while True:
            is_last = ended is not None and ended.is_set()  # before the read: it sees all there is
            read = tail.next_read()
            try:
                piece = await self.read_file(read.path, read.offset_bytes, read.length_bytes)
            except CallRefused as refused:
                if refused.status != 404:
                    raise
                more = tail.missing()
            except (Disconnected, Unreachable):
                more = False
            else:
                more = tail.got(piece.size, piece.data)
                if piece.data:
                    yield piece.data
            if not more:
                if is_last:
                    return
                await _pause(ended, poll_ms)

    @property
    def _http(self) -> Http:
        if self._open_http is None:
            raise RuntimeError("use the client inside 'async with'")
        return self._open_http

    async def _master(self, kind: master.Call.Type) -> master.Response:
        return await self.call(master.Call(type=kind))

    async def _ask(self, call: master.Call | agent.Call) -> Answer:
        for _ in range(ATTEMPTS_MAX):
            await self._whereabouts.known()
            asked = self.address
            try:
                answer = await self._http.call(asked + PATH, call)
            except ClientConnectorError as error:  # nothing was sent: another may be asked
                await self._next_master(str(error))
                continue
            except NETWORK_ERRORS as error:
                text = str(error) or type(error).__name__
                raise Disconnected(f"{call.type}: {asked}: {text}") from error
            if answer.status in (200, 202):
                self._masters.led()
                return answer
            await self._refused(answer)
        raise Unreachable(f"{call.type}: no answer in {ATTEMPTS_MAX} attempts")

    async def _get(self, path: str, params: Mapping[str, str]) -> Answer:
        for _ in range(ATTEMPTS_MAX):
            await self._whereabouts.known()
            try:
                answer = await self._http.get(self.address + path, params)
            except NETWORK_ERRORS as error:
                await self._next_master(str(error) or type(error).__name__)
                continue
            if answer.status == 200:
                self._masters.led()
                return answer
            await self._refused(answer)
        raise Unreachable(f"{path}: no answer in {ATTEMPTS_MAX} attempts")

    async def _refused(self, answer: Answer) -> None:
        """Turn to the leader that a standby names; raises CallRefused for any other answer."""
        if answer.status != 307 or redirect_target(self.address, answer.location or "") is None:
            raise CallRefused(answer.status, answer.text)
        await asyncio.sleep(self._masters.redirected(answer.location or "") / 1000)

    async def _next_master(self, cause: str) -> None:
        """Turn to the next address at once; raises Unreachable when all were asked."""
        if self._masters.failed() > 0:
            raise Unreachable(cause)


def sandbox_path(framework_id: str, executor_id: str) -> str:
    """Where an agent shows the sandbox of an executor's last run; a command's executor id is its
    task id. `follow_file(f"{sandbox_path(...)}/stdout")` follows what it prints.
    """
    return f"/frameworks/{framework_id}/executors/{executor_id}/runs/latest"


def _present(part: P | None, name: str) -> P:
    if part is None:
        raise BadPeer(f"the answer has no '{name}'")
    return part


def _silence_ms(interval_s: float) -> int:
    return round(interval_s * MISSED_HEARTBEATS_MAX * 1000)


async def _pause(ended: asyncio.Event | None, poll_ms: int) -> None:
    if ended is None or ended.is_set():
        await asyncio.sleep(poll_ms / 1000)
        return
    try:
        async with asyncio.timeout(poll_ms / 1000):
            await ended.wait()
    except TimeoutError:
        pass
