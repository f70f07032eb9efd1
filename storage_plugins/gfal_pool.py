"""gfal2 in processes of its own: it runs in Debian's Python alone, blocks, and was seen to spoil data when a context
was used again. A process does one thing at a time; one that does not answer is killed.

`LADING_GFAL_PYTHON` names the interpreter that has gfal2 (/usr/bin/python3 otherwise): the server's environment, as no
option of an element is to name programs.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import struct
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import (
    Denied,
    InvalidPath,
    NoSpace,
    ObjectExists,
    ObjectNotFound,
    PluginMissing,
    StorageError,
    Transient,
    Unavailable,
    Unsupported,
)
from .paths import shown

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from .base import Chunk
    from .gfal import GfalOptions

_PROGRAM = Path(__file__).with_name("gfal_worker.py")
_LENGTHS = struct.Struct(">II")
_IDLE = 30  # seconds after which a process that nobody needs is ended
_PATIENT = 3600  # seconds for what may read a whole object first
_LIMIT = 1 << 22  # bytes of a pipe that are taken in before the process waits
_INHERITED = ("GLOBUS_", "GFAL_", "SRM_", "DCACHE_")  # an operator's own settings of the libraries
_KINDS: dict[int, type[StorageError]] = {
    errno.ENOENT: ObjectNotFound,
    errno.EEXIST: ObjectExists,
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOKEY, errno.EKEYEXPIRED), Denied),
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), NoSpace),
    **dict.fromkeys((errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.EILSEQ), InvalidPath),
    **dict.fromkeys((errno.ENOSYS, errno.ENOTSUP, errno.EPROTONOSUPPORT), Unsupported),
    **dict.fromkeys((errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.EHOSTDOWN, errno.ENETUNREACH), Unavailable),
}
_OF_OPEN = ("seek", "read", "write")  # of a file that stays open
_AWAY = ("Connection refused", "Unable to connect", "Name or service not known", "No route to host")


def told(code: int, message: str, pfn: str | None) -> StorageError:
    """The contract's error for one of gfal2's."""
    kind = _KINDS.get(code, Transient)
    if kind is Transient and any(text in message for text in _AWAY):
        kind = Unavailable
    return kind(f"gfal2: {shown(' '.join(message.split()))}" + (f": '{shown(pfn)}'" if pfn else ""), pfn=pfn)


class NoAnswer(Transient):
    """The process hangs or has ended."""


class Worker:
    """One process."""

    def __init__(self, process: asyncio.subprocess.Process, timeout: float) -> None:
        self._process = process
        self._timeout = timeout
        self.clean = False  # nothing is open or under way: it can be used for something else

    @classmethod
    async def start(cls, options: GfalOptions) -> Worker:
        """Raises PluginMissing when that Python is not there or has no gfal2."""
        python = os.environ.get("LADING_GFAL_PYTHON") or "/usr/bin/python3"
        try:
            process = await asyncio.create_subprocess_exec(
                python,
                "-I",
                str(_PROGRAM),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                limit=_LIMIT,
                env=_environment(options),
                start_new_session=True,  # a Ctrl-C is the server's affair
            )
        except OSError as error:
            raise _missing(python, str(error.strerror)) from None
        worker = cls(process, options.timeout)
        try:
            await worker._answer(None, options.timeout)
        except PluginMissing as error:
            worker.kill()
            raise _missing(python, error.message) from None
        except BaseException:
            worker.kill()
            raise
        worker.clean = True
        return worker

    async def ask(self, name: str, *arguments: Any, pfn: str | None = None, patient: bool = False) -> Any:
        """The answer. Errors are the contract's."""
        return (await self._ask([name, *arguments], b"", pfn, _PATIENT if patient else self._timeout))[0]

    async def read(self, size: int, pfn: str) -> bytes:
        return (await self._ask(["read", size], b"", pfn, self._timeout))[1]

    async def write(self, data: Chunk, pfn: str) -> None:
        await self._ask(["write"], data, pfn, self._timeout)

    async def _ask(self, request: list[Any], body: Chunk, pfn: str | None, seconds: float) -> tuple[Any, bytes]:
        self.clean = False
        await self._send(request, body, pfn, seconds)
        try:
            value, data = await self._answer(pfn, seconds)
        except NoAnswer:
            raise
        except StorageError:
            self.clean = request[0] not in _OF_OPEN
            raise
        self.clean = request[0] not in (*_OF_OPEN, "open") and not (isinstance(value, dict) and value["more"])
        return value, data

    async def _send(self, request: list[Any], body: Chunk, pfn: str | None, seconds: float) -> None:
        text = json.dumps(request).encode()
        assert self._process.stdin
        try:
            async with asyncio.timeout(seconds):
                self._process.stdin.write(_LENGTHS.pack(len(text), len(body)) + text)
                if body:
                    self._process.stdin.write(body)
                await self._process.stdin.drain()
        except TimeoutError:
            raise NoAnswer(f"gfal2 took nothing for {seconds:g} seconds", pfn=pfn) from None
        except (ConnectionError, RuntimeError):
            raise NoAnswer("gfal2's process has ended", pfn=pfn) from None

    async def _answer(self, pfn: str | None, seconds: float) -> tuple[Any, bytes]:
        while True:
            try:
                async with asyncio.timeout(seconds):
                    answer, body = await self._frame()
            except TimeoutError:
                raise NoAnswer(f"gfal2 gave no answer in {seconds:g} seconds", pfn=pfn) from None
            except (asyncio.IncompleteReadError, ConnectionError):
                raise NoAnswer("gfal2's process has ended", pfn=pfn) from None
            if "moved" in answer:
                continue
            if "ok" in answer:
                return answer["ok"], body
            if not answer["error"]:
                raise PluginMissing(answer["message"])
            raise told(answer["error"], answer["message"], pfn)

    async def _frame(self) -> tuple[dict[str, Any], bytes]:
        assert self._process.stdout
        text, body = _LENGTHS.unpack(await self._process.stdout.readexactly(_LENGTHS.size))
        answer: dict[str, Any] = json.loads(await self._process.stdout.readexactly(text))
        return answer, await self._process.stdout.readexactly(body) if body else b""

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            self._process.kill()

    async def ended(self) -> None:
        """`kill`, and leave no zombie."""
        self.kill()
        if self._process.stdin:
            self._process.stdin.close()
        await self._process.wait()


class Pool:
    """Up to `options.connections` processes, started when they are needed."""

    def __init__(self, options: GfalOptions) -> None:
        self._options = options
        self._free = asyncio.Semaphore(options.connections)
        self._idle: list[tuple[Worker, asyncio.TimerHandle]] = []
        self._used: set[Worker] = set()
        self._ending: set[asyncio.Task[None]] = set()
        self._closed = False

    @asynccontextmanager
    async def worker(self) -> AsyncGenerator[Worker, None]:
        """A process to use; it is kept for the next user when it is left clean, and killed else."""
        async with self._free:
            if self._closed:
                raise Unavailable("the element is closed")
            if self._idle:
                worker, timer = self._idle.pop()
                timer.cancel()
            else:
                worker = await Worker.start(self._options)
            self._used.add(worker)
            try:
                yield worker
            finally:
                self._used.discard(worker)
                if worker.clean and not self._closed:
                    timer = asyncio.get_running_loop().call_later(_IDLE, self._retire, worker)
                    self._idle.append((worker, timer))
                else:
                    self._end(worker)

    def _retire(self, worker: Worker) -> None:
        self._idle = [(one, timer) for one, timer in self._idle if one is not worker]
        self._end(worker)

    def _end(self, worker: Worker) -> None:
        worker.kill()
        task = asyncio.get_running_loop().create_task(worker.ended())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def aclose(self) -> None:
        self._closed = True
        for worker, timer in self._idle:
            timer.cancel()
            self._end(worker)
        self._idle.clear()
        for worker in self._used:  # whoever uses it is told
            worker.kill()
        if self._ending:
            await asyncio.wait(self._ending)


def _missing(python: str, why: str) -> PluginMissing:
    return PluginMissing(
        f"storage type 'gfal' needs gfal2, which {python} has not ({shown(why)}): apt-get install python3-gfal2"
        " gfal2-plugin-srm gfal2-plugin-gridftp, or name another Python in LADING_GFAL_PYTHON"
    )


def _environment(options: GfalOptions) -> dict[str, str]:
    """Whom to trust and who we are; nothing that lies about on the host (tokens, proxies) is sent."""
    kept = {name: value for name, value in os.environ.items() if name.startswith(_INHERITED)}
    nobody = "/nonexistent"
    identity = {"X509_USER_PROXY": options.certificate or nobody}
    if options.certificate and options.key:
        identity = {"X509_USER_CERT": options.certificate, "X509_USER_KEY": options.key}
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": nobody,
        "LC_ALL": "C.UTF-8",
        "X509_CERT_DIR": options.ca,
        **kept,
        **identity,
    }
