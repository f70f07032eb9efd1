"""The two ways of a write to an fsspec file system. Blocking; each method takes the file system to do it with."""

from __future__ import annotations

import secrets
import tempfile
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from .base import ObjectInfo
from .chunks import BATCH
from .errors import Transient

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .base import Chunk
    from .fsspec_store import Store

_WHOLE = 1 << 24  # bytes of an object that is given to the file system in one piece


class Locks:
    """Between the look whether a name is free and the taking of it nobody else in this process may come."""

    def __init__(self) -> None:
        self._locks = [threading.Lock() for _ in range(64)]

    def of(self, pfn: str) -> threading.Lock:
        return self._locks[hash(pfn) % len(self._locks)]


class Upload(Protocol):
    def start(self, store: Store) -> None:
        """Raises ObjectExists when it is sure already."""

    def append(self, store: Store, chunks: Sequence[Chunk]) -> None: ...

    def commit(self, store: Store) -> ObjectInfo:
        """Show the object. Raises ObjectExists when another was first."""

    def discard(self, store: Store) -> None:
        """Forget it. Safe to repeat."""


class Renamed:
    """Written to a temporary file that is renamed into place."""

    def __init__(self, pfn: str, locks: Locks, *, overwrite: bool) -> None:
        self._pfn = pfn
        self._locks = locks
        self._overwrite = overwrite
        self._name = f"{time.time_ns() // 1000}-{secrets.token_hex(8)}"
        self._path: str | None = None
        self._file: Any = None
        self._at = 0

    def start(self, store: Store) -> None:
        store.check_present()
        store.check_free(self._pfn, overwrite=self._overwrite)
        self._path = store.staging(self._name)
        self._file = store.fs.open(self._path, "wb", block_size=BATCH)

    def append(self, store: Store, chunks: Sequence[Chunk]) -> None:
        for chunk in chunks:
            self._file.write(chunk)
            self._at += len(chunk)

    def commit(self, store: Store) -> ObjectInfo:
        assert self._path, "started"
        self._file.close()
        arrived = (store.look(self._path) or {"size": 0})["size"]
        if arrived != self._at:
            raise Transient(f"{self._at} bytes were sent and {arrived} have arrived", pfn=self._pfn)
        move(store, self._path, self._pfn, self._locks, overwrite=self._overwrite)
        self._path = None
        return store.stat(self._pfn)

    def discard(self, store: Store) -> None:
        if self._path:
            with suppress(Exception):  # first, or what it still holds would be written when it is forgotten
                self._file.close()
            with suppress(Exception):
                store.fs.rm_file(self._path)


def move(store: Store, path: str, pfn: str, locks: Locks, *, overwrite: bool) -> None:
    """Rename a file into place. Raises ObjectExists."""
    store.make_parents(pfn)
    with locks.of(pfn):
        store.check_free(pfn, overwrite=overwrite)
        store.fs.mv(path, store.path(pfn))


class Whole:
    """Kept in a file of this host until it is complete and checked, then given to the file system as a whole."""

    def __init__(self, pfn: str, locks: Locks, *, overwrite: bool) -> None:
        self._pfn = pfn
        self._locks = locks
        self._overwrite = overwrite
        self._file = tempfile.NamedTemporaryFile()  # noqa: SIM115  (closed by commit or discard)
        self._at = 0

    def start(self, store: Store) -> None:
        store.check_present()
        store.check_free(self._pfn, overwrite=self._overwrite)

    def append(self, store: Store, chunks: Sequence[Chunk]) -> None:
        self._file.writelines(chunks)
        self._at += sum(map(len, chunks))

    def commit(self, store: Store) -> ObjectInfo:
        self._file.flush()
        path = store.path(self._pfn)
        store.make_parents(self._pfn)
        with self._locks.of(self._pfn):
            store.check_free(self._pfn, overwrite=self._overwrite)
            if self._at <= _WHOLE:
                self._file.seek(0)
                store.fs.pipe_file(path, self._file.read())
            else:
                store.fs.put_file(self._file.name, path)
        self._file.close()
        info = store.stat(self._pfn)
        if info.size != self._at:
            raise Transient(f"{self._at} bytes were sent and {info.size} have arrived", pfn=self._pfn)
        return info

    def discard(self, store: Store) -> None:
        self._file.close()
