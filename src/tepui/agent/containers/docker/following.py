"""Takes over the output of all containers, in a thread of its own: the agent waits for no disk."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import msgspec

from tepui.agent.containers.docker.output import Output, Plan, Saved
from tepui.base.errors import HostError

LOOK_S = 0.2  # how long a line takes at most to be in its sandbox
JOIN_S = 10.0

log = logging.getLogger("tepui.agent")


class Following:
    """The containers whose output is taken over. Its methods block: they are for threads."""

    def __init__(self, state_directory: str) -> None:
        self._directory = Path(state_directory)
        self._outputs: dict[str, Output] = {}
        self._lock = threading.Lock()  # held while outputs are moved, or others come and go
        self._woken = threading.Event()
        self._is_closed = False
        self._thread: threading.Thread | None = None

    def begin(self, container_id: str, plan: Plan) -> None:
        """The files are there, and will be found again by `resume`. Raises HostError."""
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            output = Output(self._path(container_id), Saved(plan), is_new=True)
        except OSError as error:
            raise HostError("keep the output in", f"'{plan.directory}'", str(error)) from None
        with self._lock:
            self._outputs[container_id] = output

    def resume(self, container_id: str) -> bool:
        """Go on where an earlier agent was; tell whether anything is known of that."""
        try:
            saved = msgspec.json.decode(self._path(container_id).read_bytes(), type=Saved)
            output = Output(self._path(container_id), saved, is_new=False)
        except (OSError, msgspec.MsgspecError) as error:
            log.warning("output_not_resumed container=%s reason=%s", container_id, error)
            return False
        with self._lock:
            self._outputs[container_id] = output
        return True

    def follow(self, container_id: str, log_path: str) -> None:
        """What the container prints goes to its files from here on."""
        with self._lock:
            output = self._outputs.get(container_id)
            if output is not None:
                output.read_from(log_path)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="docker-output", daemon=True)
            self._thread.start()

    def finish(self, container_id: str) -> str:
        """All that it has printed is in its files; return what is to be said of what was lost."""
        with self._lock:
            output = self._outputs.pop(container_id, None)
        if output is None:
            return ""
        try:
            text = output.drain()
            output.save()
        except OSError as error:
            text = f"part of its output was lost: {error}"
        output.close()
        return text

    def forget(self, container_id: str) -> None:
        """Nothing is kept of how far it was."""
        self.finish(container_id)
        self._path(container_id).unlink(missing_ok=True)

    def keep_only(self, container_ids: set[str]) -> None:
        """Nothing is kept of other containers than these."""
        for path in self._directory.glob("*.json"):
            if path.name.removesuffix(".json") not in container_ids:
                path.unlink(missing_ok=True)

    def close(self) -> None:
        """Positions are kept, and nothing is moved any more."""
        self._is_closed = True
        self._woken.set()
        if self._thread is not None:
            self._thread.join(JOIN_S)
        with self._lock:
            for container_id, output in self._outputs.items():
                try:
                    output.save()
                except OSError as error:
                    log.warning("output_not_saved container=%s reason=%s", container_id, error)
                output.close()
            self._outputs.clear()

    def _path(self, container_id: str) -> Path:
        return self._directory / f"{container_id}.json"

    def _run(self) -> None:
        while not self._is_closed:
            moved = 0
            with self._lock:
                names = list(self._outputs)
            for name in names:
                with self._lock:  # released in between, so that nobody waits for more than a slice
                    output = self._outputs.get(name)
                    moved += self._pump(name, output) if output is not None else 0
            if not moved:
                self._woken.wait(LOOK_S)

    def _pump(self, container_id: str, output: Output) -> int:
        try:
            return output.pump()
        except OSError as error:
            log.warning("output_lost container=%s reason=%s", container_id, error)
            output.close()
            del self._outputs[container_id]
            return 0
