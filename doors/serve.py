"""One process: an HTTP server or a worker, until it is told to stop."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
from typing import TYPE_CHECKING, Any, TypeVar

from aiohttp import web

from lading.model.errors import Conflict

from . import app

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from .config import Config

T = TypeVar("T")
_GARBAGE = 100_000
"""Objects made before the collector looks. A call of 1,000 files makes 10,000 that all go by themselves: looking at
them each 700, as Python does, took 7 us a file where decoding takes 2."""


def bind(host: str, port: int, count: int = 1, *, share: bool = False) -> list[socket.socket]:
    """`count` sockets on one address; the kernel spreads connections over those that listen. Port 0 takes a free one.

    Raises Conflict when the port is taken: without `share` also by a process that would share it, another lading say.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sockets: list[socket.socket] = []
    try:
        if not share and port:
            with socket.socket(family) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((host, port))
                probe.listen(1)
        for _ in range(count):
            made = socket.socket(family)
            sockets.append(made)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if share or count > 1:
                made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            made.bind((host, port))
            port = made.getsockname()[1]
    except OSError as error:
        for made in sockets:
            made.close()
        raise Conflict(
            f"can't listen on {host} port {port}: {error.strerror}; choose another --port", port=port
        ) from None
    return sockets


def run(main: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run` on uvloop where it is installed."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


def stop_signal() -> asyncio.Event:
    """An event that SIGTERM and SIGINT set."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


async def serve(config: Config, listener: socket.socket, stop: asyncio.Event) -> None:
    """Serve on `listener` until `stop`; then finish what is being answered, `drain_seconds` at most."""
    _, application = app.make(app.wire(config))
    runner = web.AppRunner(
        application, access_log=None, shutdown_timeout=config.drain_seconds, keepalive_timeout=75, read_bufsize=1 << 20
    )
    await runner.setup()
    try:
        await web.SockSite(runner, listener, backlog=1024).start()
        gc.collect()
        gc.freeze()  # what lives now lives to the end: not to be looked at again
        gc.set_threshold(_GARBAGE, 10, 10)
        await stop.wait()
    finally:
        await runner.cleanup()


async def worker(config: Config, stop: asyncio.Event) -> None:
    """Do what is to be done in the background until `stop`."""
    services = app.wire(config)
    try:
        await app.start(services)
        work = asyncio.create_task(app.work(services))
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        if not work.cancelled():
            work.result()
    finally:
        await services.close()
