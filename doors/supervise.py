"""`lading-server run`: the embedded PostgreSQL, the server processes and the worker as one thing that starts and
stops."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import TYPE_CHECKING

import aiohttp
import msgspec
import structlog

from catalog.embedded import EmbeddedPostgres, EmbeddedPostgresError
from lading.model.errors import Unavailable

from . import place
from .serve import bind, stop_signal

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from .config import Config

_START_SECONDS = 60
_MAX_PAUSE = 30
_LOOK = 1.0  # seconds between looks at the embedded PostgreSQL: two system calls each
_log = structlog.get_logger("lading.run")


class Supervisor:
    """Keeps the processes of one server alive. `config` is complete: its database is up and migrated."""

    def __init__(self, config: Config, listeners: list[socket.socket]) -> None:
        self._line = msgspec.json.encode(config) + b"\n"
        self._drain = config.drain_seconds
        self._roles = [("serve", s.fileno()) for s in listeners] + [("worker", 0)]
        self._processes: set[asyncio.subprocess.Process] = set()
        self._stopping = False
        self._ready = False

    async def run(self, url: str, stop: asyncio.Event, ready: Callable[[], None]) -> None:
        """Start all, call `ready` when requests are answered, and return when all ended after `stop`.

        A process that dies is started again. Raises Unavailable when one dies before the server was ready.
        """
        keepers = [asyncio.create_task(self._keep(role, fd)) for role, fd in self._roles]
        stopped = asyncio.create_task(stop.wait())
        started = asyncio.create_task(self._answers(url))
        try:
            await asyncio.wait({stopped, started, *keepers}, return_when=asyncio.FIRST_COMPLETED)
            if started.done() and not stop.is_set():
                started.result()
                self._ready = True
                ready()
                await asyncio.wait({stopped, *keepers}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await self._end()
            for task in (stopped, started):
                task.cancel()
            outcomes = await asyncio.gather(*keepers, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    async def _keep(self, role: str, fd: int) -> None:
        pause = 0.5
        while not self._stopping:
            begun = asyncio.get_running_loop().time()
            code = await self._once(role, fd)
            if self._stopping:
                return
            if not self._ready:
                raise Unavailable(f"the {role} process ended with code {code} at once: see the messages above")
            if asyncio.get_running_loop().time() - begun > _MAX_PAUSE:
                pause = 0.5
            _log.error("a process died and is started again", role=role, code=code, pause=pause)
            await asyncio.sleep(pause)
            pause = min(_MAX_PAUSE, pause * 2)

    async def _once(self, role: str, fd: int) -> int:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "doors.child", role, str(fd)),
            stdin=asyncio.subprocess.PIPE,
            pass_fds=(fd,) if fd else (),
            start_new_session=True,  # Ctrl-C is for us: we stop them in order
        )
        self._processes.add(process)
        try:
            if self._stopping:
                process.terminate()
            assert process.stdin is not None
            with contextlib.suppress(ConnectionError):
                process.stdin.write(self._line)
                await process.stdin.drain()
            return await process.wait()
        finally:
            self._processes.discard(process)

    async def _end(self) -> None:
        self._stopping = True
        processes = list(self._processes)
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        ends = [asyncio.create_task(p.wait()) for p in processes]
        if ends:
            await asyncio.wait(ends, timeout=self._drain + 10)
        for process in processes:
            if process.returncode is None:
                process.kill()

    async def _answers(self, url: str) -> None:
        deadline = asyncio.get_running_loop().time() + _START_SECONDS
        said = "nothing"
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
            while asyncio.get_running_loop().time() < deadline:
                try:
                    async with session.get(f"{url}/readyz") as response:
                        said = await response.text()
                        if response.status == 200:
                            return
                except (aiohttp.ClientError, TimeoutError):
                    pass  # not listening yet
                await asyncio.sleep(0.05)
        raise Unavailable(f"the server was not ready within {_START_SECONDS} s; it said: {said}")


async def keep_alive(postgres: EmbeddedPostgres) -> None:
    """Start the embedded PostgreSQL again whenever it died (kill -9, no memory left). Runs until cancelled.

    Requests are answered 503 meanwhile; the pools of the server processes find the new one by themselves.
    """
    pause = _LOOK
    while True:
        await asyncio.sleep(pause)
        pause = _LOOK
        if await asyncio.to_thread(postgres.alive):
            continue
        _log.error("the embedded PostgreSQL died and is started again", folder=str(postgres.folder))
        try:
            await asyncio.to_thread(postgres.start)
        except EmbeddedPostgresError as error:
            pause = _MAX_PAUSE
            _log.error("the embedded PostgreSQL does not start", error=error.message, pause=pause)


def url(host: str, listener: socket.socket) -> str:
    """Where clients on this machine find a server that listens on `host`."""
    if host in ("0.0.0.0", "::"):  # noqa: S104  # compared, not bound
        host = "127.0.0.1" if host == "0.0.0.0" else "::1"  # noqa: S104  # the same
    return f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"


def run(config: Config, tell: Callable[[str], None]) -> None:
    """Run everything on the folder `config.data` until SIGTERM or SIGINT. `tell` gets lines for a person.

    Raises Conflict (the folder or the port is in use), InvalidRequest (settings), Unavailable (PostgreSQL, or a process
    that does not start); whatever was started is stopped then.
    """
    from . import admin, serve

    home = place.Place(config.data)
    home.make()
    with home.held():
        listeners = bind(config.host, config.port, config.processes)
        address = url(config.host, listeners[0])
        postgres = None if config.database_url else EmbeddedPostgres(home.postgres)
        with postgres or contextlib.nullcontext():
            dsn = postgres.dsn if postgres else config.database_url
            full = msgspec.structs.replace(config, database_url=dsn, data=str(home.folder))

            async def main() -> None:
                stop = stop_signal()
                applied = await place.migrate(dsn)
                await admin.ensure_admin_token(full, home.admin_token)

                def ready() -> None:
                    home.announce(address, dsn)
                    if applied:
                        tell(f"database: applied {', '.join(applied)}")
                    tell(f"lading is running at {address}")
                    tell(f"  administrator's token: {home.admin_token}")
                    tell(f"  API: {address}/docs")
                    tell(f"  log in: lading login {address} --token-file {home.admin_token}")

                keeper = asyncio.create_task(keep_alive(postgres)) if postgres else None
                try:
                    await Supervisor(full, listeners).run(address, stop, ready)
                finally:
                    if keeper:
                        keeper.cancel()
                        await asyncio.gather(keeper, return_exceptions=True)

            try:
                serve.run(main())
            finally:
                for listener in listeners:
                    listener.close()
