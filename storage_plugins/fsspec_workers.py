"""Threads, each with an fsspec file system of its own: few of those may be used by two at once. And what their errors
mean."""

from __future__ import annotations

import asyncio
import errno
import ftplib
import socket
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar
from urllib.parse import quote, quote_plus

from .errors import (
    Denied,
    InvalidPath,
    NoSpace,
    ObjectExists,
    ObjectNotFound,
    StorageError,
    Transient,
    Unavailable,
    Unsupported,
)
from .fsspec_store import Store
from .paths import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .fsspec import FsspecOptions

P = ParamSpec("P")
T = TypeVar("T")

_KINDS: tuple[tuple[type[Exception], type[StorageError]], ...] = (
    (FileNotFoundError, ObjectNotFound),
    (FileExistsError, ObjectExists),
    (PermissionError, Denied),
    (IsADirectoryError, InvalidPath),
    (NotADirectoryError, InvalidPath),
    (NotImplementedError, Unsupported),
    (ConnectionRefusedError, Unavailable),
    (socket.gaierror, Unavailable),
    (ValueError, InvalidPath),  # a name that the protocol cannot carry: a line break in FTP, a byte that is no UTF-8
)
_NUMBERS = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), NoSpace),
    **dict.fromkeys((errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL), InvalidPath),
    **dict.fromkeys((errno.EHOSTUNREACH, errno.EHOSTDOWN, errno.ENETUNREACH), Unavailable),
    errno.EROFS: Denied,
}
_FTP = {"421": Unavailable, "452": NoSpace, "552": NoSpace, **dict.fromkeys(("530", "532", "550", "553"), Denied)}


def told(error: Exception, pfn: str | None, secrets: list[str]) -> StorageError:
    """The contract's error for anything that a file system raises, without the secrets it may have in its message."""
    kind = next((kind for raised, kind in _KINDS if isinstance(error, raised)), Transient)
    if isinstance(error, OSError):
        kind = _NUMBERS.get(error.errno or 0, kind)
    if isinstance(error, ftplib.Error):
        kind = _FTP.get(str(error)[:3], kind)
    message = f"{type(error).__name__}: {error}"
    for secret in secrets:
        for form in (secret, quote(secret, safe=""), quote(secret), quote_plus(secret)):  # as a URL may have it
            message = message.replace(form, "***")
    return kind(shown(message) + (f": '{shown(pfn)}'" if pfn else ""), pfn=pfn)


class Workers:
    """`count` of them. Each new user gets the one with the fewest."""

    def __init__(self, options: FsspecOptions, count: int) -> None:
        self._workers = [Worker(options) for _ in range(count)]

    @contextmanager
    def use(self) -> Iterator[Worker]:
        worker = min(self._workers, key=lambda worker: worker.users)
        worker.users += 1
        try:
            yield worker
        finally:
            worker.users -= 1

    async def aclose(self) -> None:
        await asyncio.gather(*(asyncio.to_thread(worker.close) for worker in self._workers))


class Worker:
    """A thread that does one thing after the other, with a file system that is made anew after what looks like a lost
    connection."""

    def __init__(self, options: FsspecOptions) -> None:
        self.users = 0
        self._options = options
        self._secrets = sorted(_texts(options.file_system_options()), key=len, reverse=True)
        self._pool = ThreadPoolExecutor(1, "fsspec")
        self._store: Store | None = None

    async def run(
        self, pfn: str | None, function: Callable[Concatenate[Store, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        return await asyncio.wrap_future(self.submit(pfn, function, *args, **kwargs))

    def submit(
        self, pfn: str | None, function: Callable[Concatenate[Store, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> Future[T]:
        """`function(store, …)` in the thread. Its errors are the contract's."""

        def guarded() -> T:
            try:
                store = self._connected()
                try:
                    return function(store, *args, **kwargs)
                except (FileNotFoundError, ObjectNotFound):
                    store.check_present()
                    raise
            except StorageError:
                raise
            except Exception as error:  # somebody else's code: it may raise anything
                typed = told(error, pfn, self._secrets)
                if typed.retryable:
                    self._store = None
                raise typed from None  # the cause may hold secrets

        try:
            return self._pool.submit(guarded)
        except RuntimeError:
            raise Unavailable("the element is closed", pfn=pfn) from None

    def _connected(self) -> Store:
        if self._store is None:
            try:
                self._store = Store(self._options)
            except Exception as error:  # as above. What is missing is no object but the whole: an archive, a host
                typed = told(error, None, self._secrets)
                raise (typed if isinstance(typed, Denied) else Unavailable(typed.message)) from None
        return self._store

    def close(self) -> None:
        self._pool.shutdown()
        self._store = None


def _texts(value: object) -> list[str]:
    if isinstance(value, dict):
        return [text for item in value.values() for text in _texts(item)]
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    return [value] if isinstance(value, str) and value else []
