"""What a volume plug-in may answer, and how much of it is taken."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tepui.agent.containers.volumes import plugins
from tepui.agent.containers.volumes.plugins import Plugin, PluginPlaces, PluginRefused
from tepui.base.errors import HostError

pytestmark = pytest.mark.real


@contextmanager
def answering(directory: Path, *answers: bytes) -> Iterator[Plugin]:
    """A plug-in that gives each caller the next of these bodies, or with b'' nothing at all."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(directory / "d.sock"))
        listener.listen()
        listener.settimeout(20)

        def serve() -> None:
            for body in answers:
                connection, _ = listener.accept()
                with connection:
                    with connection.makefile("rb") as asked:
                        lengths = [0]
                        while (line := asked.readline()) not in (b"\r\n", b""):
                            if line.lower().startswith(b"content-length:"):
                                lengths.append(int(line.partition(b":")[2]))
                        asked.read(lengths[-1])
                    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n"
                    try:
                        connection.sendall(head.encode() + body if body else b"")
                    except OSError:
                        continue  # the caller has heard enough

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield Plugin("d", PluginPlaces(sockets=(str(directory),), specs=()))
        finally:
            thread.join(20)


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("p")  # short: the path of a socket may have 107 bytes


def test_the_largest_answer_is_taken_and_a_larger_one_is_not(
    monkeypatch: pytest.MonkeyPatch, place: Path
) -> None:
    body = b'{"Err": ""}'
    monkeypatch.setattr(plugins, "ANSWER_BYTES_MAX", len(body))
    with answering(place, body, body + b" ") as plugin:
        plugin.unmount("v", "c1")
        with pytest.raises(HostError, match="an answer of more than 11 bytes"):
            plugin.unmount("v", "c1")


def test_a_long_complaint_is_cut(place: Path) -> None:
    complaint = "x" * plugins.REASON_LENGTH_MAX
    with (
        answering(place, b'{"Err": "' + complaint.encode() + b'yyy"}') as plugin,
        pytest.raises(PluginRefused) as refused,
    ):
        plugin.unmount("v", "c1")
    assert str(refused.value) == f"unmount the volume 'v' of the driver 'd': {complaint}"


def test_a_plugin_that_hangs_up_is_no_fault_of_the_agent(place: Path) -> None:
    with (
        answering(place, b"") as plugin,
        pytest.raises(
            HostError, match="unmount the volume 'v' of the driver 'd': Remote end closed"
        ),
    ):
        plugin.unmount("v", "c1")


def test_the_place_may_be_told_by_another_call(place: Path) -> None:
    at = f'{{"Mountpoint": "{place}"}}'.encode()
    with answering(place, b"{}", b'{"Mountpoint": ""}', at) as plugin:
        assert plugin.mount("v", {}, "c1") == str(place)
    (place / "d.sock").unlink()
    with (
        answering(place, b"{}", b'{"Mountpoint": "relative"}') as plugin,
        pytest.raises(PluginRefused, match="has mounted it at 'relative', which is not there"),
    ):
        plugin.mount("v", {}, "c1")
