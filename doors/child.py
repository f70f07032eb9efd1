"""A process that `lading-server run` starts: `python -m doors.child serve FD` or `python -m doors.child worker 0`.

The settings come as a line of JSON on standard input: no password shows in the process list. The end of standard input
means that the parent died, however it did.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys

import msgspec

from . import log
from .config import Config
from .serve import run, serve, stop_signal, worker


async def _child(role: str, fd: int, config: Config) -> None:
    stop = stop_signal()
    loop = asyncio.get_running_loop()

    def parent_spoke() -> None:
        if not os.read(0, 4096):
            loop.remove_reader(0)
            stop.set()

    loop.add_reader(0, parent_spoke)
    if role == "serve":
        await serve(config, socket.socket(fileno=fd), stop)
    else:
        await worker(config, stop)


def main() -> None:
    line = b""
    while not line.endswith(b"\n"):
        piece = os.read(0, 65536)
        if not piece:
            return
        line += piece
    config = msgspec.json.decode(line, type=Config)
    log.configure(config)
    run(_child(sys.argv[1], int(sys.argv[2]), config))


if __name__ == "__main__":
    main()
