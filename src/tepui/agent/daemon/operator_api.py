"""POST /api/v1 of the agent: what the core, the files and the flags can answer.

The order of the checks is that of Mesos (slave/http.cpp Http::api). What is asked of single
containers is in container_calls.py. There are no resource providers: their calls are 501.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from tepui.agent.core.actions import AnswerOperator, Reply
from tepui.agent.core.durations import to_ms
from tepui.agent.core.events import OperatorCalled
from tepui.agent.core.operator_containers import CALLS
from tepui.agent.core.validation import operator_call_error
from tepui.agent.daemon.build import version_info
from tepui.agent.daemon.container_calls import CallStream, ContainerCalls, answered
from tepui.agent.daemon.containers import Containers
from tepui.agent.daemon.put import Put
from tepui.web.decoding import decoded
from tepui.web.files import READ_FILE_BYTES_MAX, Files
from tepui.web.http import Answer, Request, Response, not_allowed, text
from tepui.web.loglevel import LogLevel
from tepui.web.process import system_metrics
from tepui.web.requests import Requests
from tepui.web.upload import UploadFailed
from tepui.wire import agent, media, mesos
from tepui.wire.errors import Malformed

Type = agent.Call.Type
Message = agent.Response

VIEWS: Final = frozenset(
    {
        Type.GET_STATE,
        Type.GET_CONTAINERS,
        Type.GET_FRAMEWORKS,
        Type.GET_EXECUTORS,
        Type.GET_TASKS,
        Type.GET_AGENT,
        Type.GET_METRICS,
    }
)
STREAMED: Final = frozenset({Type.ATTACH_CONTAINER_OUTPUT})
EMPTY_LISTS: Final[dict[str, tuple[str, ...]]] = {  # which Mesos writes although they are empty
    "get_tasks": (
        "pending_tasks",
        "queued_tasks",
        "launched_tasks",
        "terminated_tasks",
        "completed_tasks",
    ),
    "get_executors": ("executors", "completed_executors"),
    "get_frameworks": ("frameworks", "completed_frameworks"),
}


class OperatorApi:
    """The route's handler, bound to the daemon."""

    def __init__(
        self,
        put: Put,
        requests: Requests[Reply],
        files: Files,
        containers: Containers,
        container_calls: ContainerCalls,
        flags: Mapping[str, str],
        log_level: LogLevel,
        prune: Callable[[tuple[mesos.Image, ...]], Awaitable[None]],
        fetcher_metrics: Callable[[], dict[str, float]] = dict,
    ) -> None:
        self._fetcher_metrics = fetcher_metrics
        self._container_calls = container_calls
        self._put = put
        self._requests = requests
        self._files = files
        self._containers = containers
        self._flags = flags
        self._log_level = log_level
        self._prune = prune
        self._calls: Mapping[Type, Callable[[agent.Call], Awaitable[Message | None]]] = {
            Type.GET_HEALTH: self._get_health,
            Type.GET_FLAGS: self._get_flags,
            Type.GET_VERSION: self._get_version,
            Type.GET_LOGGING_LEVEL: self._get_logging_level,
            Type.SET_LOGGING_LEVEL: self._set_logging_level,
            Type.LIST_FILES: self._list_files,
            Type.READ_FILE: self._read_file,
            Type.GET_OPERATIONS: self._get_operations,
            Type.GET_RESOURCE_PROVIDERS: self._get_resource_providers,
            Type.PRUNE_IMAGES: self._prune_images,
        } | dict.fromkeys(VIEWS, self._view)

    async def handle(self, request: Request) -> Answer:
        """Answer one request."""
        if request.method != "POST":
            return not_allowed(request, "POST")
        headers = request.headers
        try:
            content = media.agent_content(
                headers.get("content-type"), headers.get("message-content-type")
            )
            accepted = media.agent_accepted(headers.get("accept"), headers.get("message-accept"))
            if content.media is media.Media.RECORDIO:
                return await self._handle_stream(request, content, accepted)
            call = await decoded(agent.Call, request.body, content.message)
            fault = operator_call_error(call)
            if fault is not None:
                return text(400, f"Failed to validate agent::Call: {fault}")
            assert call.type is not None
            media.check_agent_call(call.type.name, content, accepted)
            if call.type in CALLS or call.type in STREAMED:
                return await self._call_of_container(call, accepted)
            do = self._calls.get(call.type)
            if do is None:
                if call.type is Type.UNKNOWN:
                    return text(501, "501 Not Implemented.")
                return text(501, f"{call.type.value} is not supported by this agent")
            answer = await do(call)
            return Response(200) if answer is None else encoded(answer, accepted.message)
        except Malformed as malformed:
            return text(400, malformed.agent_text)

    async def _handle_stream(
        self, request: Request, content: media.Streamed, accepted: media.Streamed
    ) -> Answer:
        """Of calls in a stream the first decides; only one kind may go on."""
        if request.upload is None:
            return text(400, "Received EOF while reading request body")
        calls = CallStream(request.upload, content.message)
        try:
            call = await calls.next()
        except UploadFailed as failed:
            return text(400, str(failed))
        if call is None:
            return text(400, "Received EOF while reading request body")
        assert call.type is not None, "checked with the call"
        media.check_agent_call(call.type.name, content, accepted)
        return await self._container_calls.attach_input(call, calls)

    async def _call_of_container(self, call: agent.Call, accepted: media.Streamed) -> Answer:
        if call.type is Type.LAUNCH_NESTED_CONTAINER_SESSION:
            return await self._container_calls.launch_session(call, accepted)
        if call.type is Type.ATTACH_CONTAINER_OUTPUT:
            return await self._container_calls.attach_output(call, accepted)
        reply = await self._container_calls.call(call)
        if reply.response is None:
            return answered(reply)
        return encoded(reply.response, accepted.message)

    async def _view(self, call: agent.Call) -> Message:
        assert call.type is not None
        usage = await self._containers.usage() if call.type is Type.GET_CONTAINERS else {}
        system: dict[str, float] = {}
        if call.type is Type.GET_METRICS:
            system = system_metrics() | self._fetcher_metrics()
            system |= await self._containers.metrics()
        kind = call.type
        wanted = call.get_containers or agent.Call.GetContainers()
        reply = await self._requests.ask(
            lambda number: self._put(
                OperatorCalled(
                    number,
                    kind,
                    usage,
                    system,
                    show_nested=bool(wanted.show_nested),
                    show_standalone=bool(wanted.show_standalone),
                )
            )
        )
        assert isinstance(reply, AnswerOperator)
        return reply.response

    async def _get_health(self, call: agent.Call) -> Message:
        return Message(type=Message.Type.GET_HEALTH, get_health=Message.GetHealth(healthy=True))

    async def _get_flags(self, call: agent.Call) -> Message:
        flags = tuple(mesos.Flag(name=name, value=text) for name, text in self._flags.items())
        return Message(type=Message.Type.GET_FLAGS, get_flags=Message.GetFlags(flags=flags))

    async def _get_version(self, call: agent.Call) -> Message:
        version = Message.GetVersion(version_info=version_info())
        return Message(type=Message.Type.GET_VERSION, get_version=version)

    async def _get_logging_level(self, call: agent.Call) -> Message:
        level = Message.GetLoggingLevel(level=self._log_level.verbosity)
        return Message(type=Message.Type.GET_LOGGING_LEVEL, get_logging_level=level)

    async def _set_logging_level(self, call: agent.Call) -> None:
        assert call.set_logging_level is not None
        self._log_level.raise_to(
            call.set_logging_level.level, to_ms(call.set_logging_level.duration)
        )

    async def _list_files(self, call: agent.Call) -> Message:
        assert call.list_files is not None
        infos = await asyncio.to_thread(self._files.browse, call.list_files.path)
        listed = Message.ListFiles(file_infos=tuple(infos))
        return Message(type=Message.Type.LIST_FILES, list_files=listed)

    async def _read_file(self, call: agent.Call) -> Message:
        read = call.read_file
        assert read is not None
        piece = await asyncio.to_thread(
            self._files.read, read.path, read.offset, read.length, READ_FILE_BYTES_MAX
        )
        done = Message.ReadFile(size=piece.size, data=piece.data)
        return Message(type=Message.Type.READ_FILE, read_file=done)

    async def _get_operations(self, call: agent.Call) -> Message:
        return Message(type=Message.Type.GET_OPERATIONS, get_operations=Message.GetOperations())

    async def _get_resource_providers(self, call: agent.Call) -> Message:
        providers = Message.GetResourceProviders()
        return Message(type=Message.Type.GET_RESOURCE_PROVIDERS, get_resource_providers=providers)

    async def _prune_images(self, call: agent.Call) -> None:
        part = call.prune_images or agent.Call.PruneImages()
        await self._prune(part.excluded_images)


def is_call_stream(headers: Mapping[str, str]) -> bool:
    """Whether a request's body is a stream of calls, to be carried out as they come."""
    return headers.get("content-type") == media.Media.RECORDIO.value


def encoded(answer: Message, wanted: media.Media) -> Response:
    """The answer in JSON or protobuf; in JSON with the empty lists that Mesos writes."""
    is_json = wanted is media.Media.JSON
    parts = () if not is_json else (answer.get_tasks, answer.get_executors, answer.get_frameworks)
    if answer.get_state is None and not any(part is not None for part in parts):
        if is_json and answer.get_containers is not None and not answer.get_containers.containers:
            return Response(200, b'{"type":"GET_CONTAINERS"}', wanted.value)
        return Response(200, media.encode(answer, wanted), wanted.value)
    if not is_json:
        return Response(200, media.encode(answer, wanted), wanted.value)
    built = json.loads(media.encode(answer, wanted))  # which takes infinities as well
    assert isinstance(built, dict)
    for part in (built, built.get("get_state", {})):
        for name, lists in EMPTY_LISTS.items():
            if name in part:
                part[name] = {one: part[name].get(one, []) for one in lists}
    body = json.dumps(built, separators=(",", ":")).encode()
    return Response(200, body, wanted.value)
