"""Connections to an XRootD server, and questions that are asked over them without blocking the event loop.

XRootD's client has a connection per URL of a server, and its login name is part of that: an element's connections log
in as `lading0`, `lading1`, … Files with credentials are part of it as well, so that every element has its own.
"""

from __future__ import annotations

import asyncio
import math
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from XRootD.client import FileSystem

from . import xrootd_process
from .errors import InvalidOptions, InvalidPath, Transient, Unavailable
from .xrootd_errors import ANSWERED, told

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from XRootD.client.responses import XRootDStatus

    from .xrootd import XrootdOptions

_GRACE = 5  # seconds in which the client answers after a timeout of its own
_FRESH = 1.0  # seconds after an answer in which the next question is asked from the event loop, as is what is checked
_LONG = 3600  # seconds for what may read a whole object first


class NoAnswer(Transient):
    """Not even of a timeout: where the client cannot make Python objects of an answer, it drops it."""


class Link:
    """One connection; the client makes it with the first question, and again when it was lost."""

    def __init__(self, links: Links, login: str) -> None:
        self._links = links
        self._server = f"{links.scheme}://{login}@{links.address}/"
        self.users = 0
        self._answered = -math.inf  # the loop's time
        self.timeout = links.timeout
        self.fs = FileSystem(f"{self._server}?{links.credentials}")

    def url(self, path: str) -> str:
        """Of a file, for those functions of the client that take one."""
        return f"{self._server}{self.signed(path)}{'&' if self._links.token else '?'}{self._links.credentials}"

    def signed(self, path: str) -> str:
        """A path with what authorises a request about it."""
        return f"{path}?authz=Bearer%20{self._links.token}" if self._links.token else path

    async def path(self, method: str, *paths: str, pfn: str | None = None) -> Any:
        """`ask` of a method of the file system that takes but paths."""
        return await self.ask(getattr(self.fs, method), *map(self.signed, paths), pfn=pfn)

    async def ask(
        self,
        start: Callable[..., Any],
        *arguments: Any,
        pfn: str | None = None,
        patient: bool = False,
        convert: Callable[[Any], Any] | None = None,
        here: bool = False,
    ) -> Any:
        """What `start`, a method of the client that takes a callback, is answered. Errors are the contract's.

        `convert` works on the answer in the client's thread, and its result is returned. `here` calls from the event
        loop: for what certainly neither connects nor looks up a name; others are, for a second after an answer, as a
        thread costs as much as the call. When the caller is cancelled, the client goes on, and what it works on stays.
        """
        links = self._links
        links.check_usable()
        loop = asyncio.get_running_loop()  # there is none in a fork, of which the line above tells
        seconds = _LONG if patient else links.timeout
        answer: asyncio.Future[tuple[XRootDStatus, Any]] = loop.create_future()
        kept = (start, arguments)  # the client has but pointers into these

        def answered(status: XRootDStatus, response: Any, hosts: Any, _: Any = kept) -> None:
            # An exception in here would be printed, and nobody answered.
            try:
                value = convert(response) if convert and status.ok else response
            except Exception as error:
                value = error
            with suppress(RuntimeError):  # the loop has ended: nobody waits there any more
                loop.call_soon_threadsafe(_settle, answer, status, value)

        call = partial(start, *arguments, timeout=seconds, callback=answered)
        try:
            here = here or loop.time() - self._answered < _FRESH
            status = call() if here else await loop.run_in_executor(links.pool, call)
            if not status.ok:
                raise told(status, pfn, links.secrets)
            patience = loop.call_later(seconds + _GRACE, _give_up, answer)  # asyncio.timeout costs ten times as much
            try:
                status, value = await answer
            finally:
                patience.cancel()
            self._answered = loop.time() if status.ok or status.code == ANSWERED else -math.inf
        except TimeoutError:
            raise NoAnswer("XRootD's client gave no answer", pfn=pfn) from None
        except UnicodeEncodeError:
            raise InvalidPath("XRootD takes names in UTF-8 alone", pfn=pfn) from None
        except ValueError as error:  # of a file that was lost
            raise Transient(f"XRootD: {error}", pfn=pfn) from None
        if not status.ok:
            raise told(status, pfn, links.secrets)
        if isinstance(value, Exception):
            raise Transient(f"an answer that cannot be read: {value!r}", pfn=pfn)
        return value


class Links:
    """Up to `options.connections` connections. Each new user gets the one with the fewest."""

    def __init__(self, options: XrootdOptions) -> None:
        parts = urlsplit(options.url)
        self.scheme = parts.scheme
        self.address = (
            f"{f'[{parts.hostname}]' if ':' in (parts.hostname or '') else parts.hostname}:{parts.port or 1094}"
        )
        self.timeout = math.ceil(options.timeout)
        self.token = options.token
        self.secrets = (options.token,) if options.token else ()
        self._options = options
        self._private = tempfile.TemporaryDirectory(prefix="lading-xrootd-")  # of mode 0700
        self.credentials = "&".join(f"{name}={path}" for name, path in self._files(Path(self._private.name)).items())
        self.pool = ThreadPoolExecutor(4, "xrootd")
        self._links = [Link(self, f"lading{number}") for number in range(options.connections)]
        self._trusting = False
        self._checked = -math.inf
        self._closed = False

    def _files(self, private: Path) -> dict[str, str]:
        """The files that the client looks for credentials in. Those that we have none for do not exist: it would take
        what it finds in the usual places."""
        none, options = str(private / "none"), self._options
        if options.token:
            token = private / "token"
            token.touch(0o600)
            token.write_text(options.token)
        return {
            "xrd.gsiusrpxy": options.proxy or none,  # the client keeps what it read by this path: it must be our own
            "xrd.gsiusrcrt": options.certificate or none,
            "xrd.gsiusrkey": options.key or options.certificate or none,
            "xrd.ztn": str(private / "token"),
        }

    def check_usable(self) -> None:
        """Raises Unavailable, InvalidOptions."""
        if self._closed:
            raise Unavailable("the element is closed")
        xrootd_process.check_fork()
        if (now := time.monotonic()) - self._checked >= _FRESH:
            xrootd_process.check_usable(secure=self.scheme == "roots")
            self._checked = now
        if not self._trusting:
            options = self._options
            for path in filter(None, (options.certificate, options.key, options.proxy)):
                if not Path(path).is_file():
                    raise InvalidOptions(f"there is no file {path}")
            if self.scheme == "roots" or options.certificate or options.proxy or options.ca:
                xrootd_process.trust(options.ca)
            self._trusting = True

    @contextmanager
    def link(self, *, first: bool = False) -> Iterator[Link]:
        """A connection to use; the `first` logs in under the same name with every element."""
        link = self._links[0] if first else min(self._links, key=lambda one: one.users)
        link.users += 1
        try:
            yield link
        finally:
            link.users -= 1

    def close(self) -> None:
        """The client itself keeps connections for some minutes."""
        self._closed = True
        self.pool.shutdown(wait=False)
        self._private.cleanup()


def _give_up(answer: asyncio.Future[tuple[XRootDStatus, Any]]) -> None:
    if not answer.done():
        answer.set_exception(TimeoutError())


def _settle(answer: asyncio.Future[tuple[XRootDStatus, Any]], status: XRootDStatus, value: Any) -> None:
    if not answer.done():
        answer.set_result((status, value))
