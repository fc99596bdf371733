"""ProcessIO: what goes to those who read a container, and the rules for what those who write it send.

Source: Mesos slave/containerizer/mesos/io/switchboard.cpp (whose texts they are).
"""

from __future__ import annotations

from typing import Final

from tepui.web.paced import PacedStream
from tepui.wire import agent, media, mesos, recordio
from tepui.wire.agent import ProcessIO

HEARTBEAT_MS: Final = 30_000  # Mesos: DEFAULT_HTTP_HEARTBEAT_INTERVAL

_Attach = agent.Call.AttachContainerInput
_HEARTBEAT: Final = ProcessIO(
    type=ProcessIO.Type.CONTROL,
    control=ProcessIO.Control(
        type=ProcessIO.Control.Type.HEARTBEAT,
        heartbeat=ProcessIO.Control.Heartbeat(
            interval=mesos.DurationInfo(nanoseconds=HEARTBEAT_MS * 1_000_000)
        ),
    ),
)


class Reader:
    """One client that reads what a container writes, each record in the encoding it asked for."""

    def __init__(self, stream: PacedStream, encoding: media.Media) -> None:
        self.stream = stream
        self._encoding = encoding

    def send(self, message: ProcessIO) -> None:
        """It will be read after what was sent before."""
        self.stream.send(recordio.frame(media.encode(message, self._encoding)))

    def beat(self) -> None:
        """A sign of life, unless it does not keep up with what there is."""
        if self.stream.is_writable:
            self.send(_HEARTBEAT)


def data_of(kind: ProcessIO.Data.Type, data: bytes) -> ProcessIO:
    """The record of what was written."""
    return ProcessIO(type=ProcessIO.Type.DATA, data=ProcessIO.Data(type=kind, data=data))


def input_error(attach: _Attach) -> str | None:
    """What is wrong with a record behind the first."""
    if attach.type is not _Attach.Type.PROCESS_IO:
        found = "UNKNOWN" if attach.type is None else attach.type.value
        return f"Expecting 'attach_container_input.type' to be 'PROCESS_IO' instead of: '{found}'"
    message = attach.process_io
    if message is None:
        return "Expecting 'attach_container_input.process_io' to be present"
    match message.type:
        case None:
            return "Expecting 'process_io.type' to be present"
        case ProcessIO.Type.CONTROL:
            return _control_error(message.control)
        case ProcessIO.Type.DATA:
            return _data_error(message.data)
        case _:
            return "'process_io.type' is unknown"


def _control_error(control: ProcessIO.Control | None) -> str | None:
    if control is None:
        return "Expecting 'process_io.control' to be present"
    match control.type:
        case None:
            return "Expecting 'process_io.control.type' to be present"
        case ProcessIO.Control.Type.TTY_INFO:
            if control.tty_info is None:
                return "Expecting 'process_io.control.tty_info' to be present"
            if control.tty_info.window_size is None:
                return "Expecting 'tty_info.window_size' to be present"
        case ProcessIO.Control.Type.HEARTBEAT:
            if control.heartbeat is None:
                return "Expecting 'process_io.control.heartbeat' to be present"
        case _:
            return "'process_io.control.type' is unknown"
    return None


def _data_error(data: ProcessIO.Data | None) -> str | None:
    if data is None:
        return "Expecting 'process_io.data' to be present"
    if data.type is None:
        return "Expecting 'process_io.data.type' to be present"
    if data.type is not ProcessIO.Data.Type.STDIN:
        return "Expecting 'process_io.data.type' to be 'STDIN'"
    if data.data is None:
        return "Expecting 'process_io.data.data' to be present"
    return None
