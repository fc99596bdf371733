"""The launcher's life: it takes requests from one agent at a time, and outlives that agent.

A request is `{"n": 7, "do": "launch", …}` and is answered by `{"n": 7, …}`, with `"fault"` in it when it did
not work; a launch is answered when the program was reached, so answers may overtake each other. Exits are
told as `{"event": "exited", …}` and kept, in memory and on disk, until the agent says `forget`; an agent that
connects anew asks for the `list`. Descriptors come with a launch that has `"stdio": true`, and go out with the
answer to `terminal`; what has no other streams than the agent's ends with its connection. A second agent is told `busy`, and by whom, and is cut off.

The launcher ends when it is told to (`end`, or SIGTERM: all containers are killed first), or when it has had
no container and no agent for `idle_s`.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
import time

from .client import Client
from .frames import PROTOCOL_VERSION, REVISION, Message, encode
from .lifecycle import Lifecycle
from .loop import Loop
from .oci import Oci, object_in
from .request import Fault, Launch, integer_in, limits_in, name_in
from .users import users_in

TYPE_CHECKING = False  # typing itself is not imported: it costs memory
if TYPE_CHECKING:
    from collections.abc import Callable

END_S = 20.0  # for all containers to be gone when the launcher is told to end
TURN_S_MAX = 5.0
BACKLOG = 16
STDIO_DESCRIPTORS = 3


class Server:
    """Requests in, answers and exits out, until `serve` returns."""

    def __init__(
        self,
        loop: Loop,
        listener: socket.socket,
        idle_s: float,
        enforced: list[str],
        unenforced: str,
    ) -> None:
        self.loop = loop
        self.lifecycle: Lifecycle | None = None
        self._listener = listener
        self._idle_s = idle_s
        self._hello: Message = {
            "event": "hello",
            "version": PROTOCOL_VERSION,
            "revision": REVISION,
            "pid": os.getpid(),
            "enforced": enforced,
            "unenforced": unenforced,
        }
        self._client: Client | None = None
        self._client_pid = 0
        self._idle_since = time.monotonic()
        self._end_by = 0.0
        listener.setblocking(False)
        loop.watch(listener.fileno(), self._accept)
        loop.on_signal(signal.SIGTERM, self._end)

    def tell(self, message: Message) -> None:
        """Tell the agent, if one is there."""
        if self._client is not None:
            self._client.send(message)

    def serve(self, lifecycle: Lifecycle) -> None:
        """Serve until told to end or idle for too long."""
        self.lifecycle = lifecycle
        timeout_s = TURN_S_MAX
        while True:
            self.loop.turn(timeout_s)
            again_s = lifecycle.look_again()
            now = time.monotonic()
            if self._client is not None or lifecycle.alive:
                self._idle_since = now
            if self._end_by and (not lifecycle.alive or now >= self._end_by):
                break
            idle_left_s = self._idle_since + self._idle_s - now
            if idle_left_s <= 0:
                break
            timeout_s = min(TURN_S_MAX, again_s, max(0.001, idle_left_s))

    def close(self) -> None:
        """Close the agent's connection: it takes that for the launcher's end."""
        if self._client is not None:
            self._client.close()

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        pid, uid, _ = struct.unpack("=3i", credentials)
        if uid not in (0, os.geteuid()):
            connection.close()
            return
        if self._client is not None:
            self._client.read()  # its end, if it has died and another was started at once
        if self._client is not None:
            connection.send(encode({"event": "busy", "pid": self._client_pid}))
            connection.close()
            return
        if pid != self._client_pid and self.lifecycle is not None:
            self.lifecycle.disown()
        self._client_pid = pid
        self._client = Client(self.loop, connection, self._message, self._closed)
        self._client.send(self._hello)

    def _closed(self, client: Client) -> None:
        if client is self._client:
            self._client = None
            self._idle_since = time.monotonic()
            if self.lifecycle is not None:
                self.lifecycle.agent_left()

    def _end(self) -> None:
        if not self._end_by:
            self._end_by = time.monotonic() + END_S
        if self.lifecycle is not None:
            self.lifecycle.destroy_all()

    def _message(self, client: Client, message: Message) -> None:
        number = message.get("n")

        def reply(answer: Message | Fault) -> None:
            if isinstance(answer, Fault):
                fault = [answer.operation, answer.subject, answer.cause]
                client.send({"n": number, "fault": fault})
            else:
                handed = self._handed(message)
                if handed >= 0:
                    answer = answer | {"descriptor": True}
                client.send(answer | {"n": number}, handed)

        try:
            if message.get("do") == "launch":
                self._launch(client, message, reply)
            elif message.get("do") == "terminal":
                terminal_fd = self._living().terminal(name_in(message, "container_id"))
                client.send({"n": number, "descriptor": True}, terminal_fd)
            else:
                reply(self._answer(message))
        except Fault as fault:
            reply(fault)
        except OSError as error:
            reply(Fault(f"{message.get('do')}", f"'{message.get('container_id')}'", str(error)))

    def _launch(
        self, client: Client, message: Message, reply: Callable[[Message | Fault], None]
    ) -> None:
        has_stdio = message.get("stdio") is True
        stdio = client.take_descriptors(STDIO_DESCRIPTORS) if has_stdio else []
        try:
            if self._end_by:
                subject = f"'{message.get('container_id')}'"
                raise Fault("launch", subject, "the launcher is ending")
            wanted = message.get("oci")
            oci = Oci(object_in(message, "oci")) if wanted is not None else None
            users = users_in(message)
            self._living().launch(Launch(message, stdio, oci, users), reply)
        finally:
            for fd in stdio:
                os.close(fd)

    def _handed(self, message: Message) -> int:
        """The terminal that goes out with the answer to a launch: the program may end before it is asked for."""
        if message.get("do") != "launch":
            return -1
        return self._living().bound_terminal(str(message.get("container_id")))

    def _living(self) -> Lifecycle:
        assert self.lifecycle is not None, "no request is read before `serve`"
        return self.lifecycle

    def _answer(self, message: Message) -> Message:
        lifecycle = self._living()
        match message.get("do"):
            case "list":
                return {"containers": lifecycle.rows()}
            case "end":
                self._end()
                return {}
            case "signal":
                lifecycle.signal(name_in(message, "container_id"), integer_in(message, "signal"))
                return {}
            case "destroy":
                lifecycle.destroy(name_in(message, "container_id"))
                return {}
            case "update":
                return lifecycle.update(name_in(message, "container_id"), limits_in(message))
            case "usage":
                return lifecycle.usage(name_in(message, "container_id"))
            case "forget":
                lifecycle.forget(name_in(message, "container_id"))
                return {}
            case other:
                raise Fault("do", f"'{other}'", "the launcher knows no such request")
