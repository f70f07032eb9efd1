"""Messages of the iRODS protocol, as a server reads and sends them."""

from __future__ import annotations

import socket
import struct
import threading
import xml.etree.ElementTree as ET
from typing import Any

from irods.message import FileOpenRequest, Message, iRODSMessage


class Wire(threading.Thread):
    """One end of a connection."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__(daemon=True)
        self.socket = connection

    def header(self) -> ET.Element:
        (length,) = struct.unpack(">i", self._exactly(4))
        return ET.fromstring(self._exactly(length))

    def receive(self) -> tuple[str, int, bytes, bytes]:
        header = self.header()
        kind, *numbers = (header.findtext(name) or "" for name in ("type", "intInfo", "msgLen", "errorLen", "bsLen"))
        number, body, error, data = map(int, numbers)
        received = self._exactly(body), self._exactly(error), self._exactly(data)
        return kind, number, received[0], received[2]

    def _exactly(self, size: int) -> bytes:
        pieces = []
        while size:
            piece = self.socket.recv(min(size, 1 << 20))
            if not piece:
                raise EOFError
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)

    def answer(self, message: Message | None, number: int = 0, data: bytes = b"") -> None:
        self.send("RODS_API_REPLY", message, number, data)

    def send(self, kind: str, message: Message | None, number: int = 0, data: bytes = b"") -> None:
        self.socket.sendall(iRODSMessage(kind, message, b"", data, number).pack())


def read(kind: type[Any], body: bytes, *arguments: None) -> Any:
    message = kind(*arguments)
    message.unpack(ET.fromstring(body))
    return message


def options(request: Any) -> dict[str, str]:
    pairs = request.KeyValPair_PI
    return (
        dict(zip(pairs.keyWord, (value or "" for value in pairs.svalue), strict=True)) if pairs and pairs.ssLen else {}
    )


def ends(body: bytes) -> list[Any]:
    """Source and target: both have the same name in the message."""
    ends = []
    for element in ET.fromstring(body).findall(FileOpenRequest._name):
        end = FileOpenRequest()
        end.unpack(element)
        ends.append(end)
    return ends
