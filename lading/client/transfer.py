"""The byte part of the client: get, put and read, one file or many at a time."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from ..model import errors
from ..model.checksum import Digest, kind, normalise
from ..model.file import Entry, Kind
from ..model.guid import canonical
from ..model.lfn import shown
from ..model.outcome import Outcome
from .get import Got, Reading, get
from .jobs import Job, looking_ahead, run
from .local import size
from .metadata import Metadata
from .meter import Meter, Progress
from .namespace import Namespace
from .put import Stored, Writing, put_file, put_stream
from .read import opened, whole
from .replicas import Replicas
from .retry import retrying

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Sequence

    from ..model.replica import Resolved

T = TypeVar("T")

Pairs: TypeAlias = "Iterable[tuple[str, str]] | AsyncIterable[tuple[str, str]]"

PARALLEL = 4
LOOKUP = 500  # files looked up in one call before they are moved


class Transfers(Namespace, Replicas, Metadata):
    """Calls that move bytes."""

    remote: set[str | None]
    """Elements (None: the server's choice) that can't be written to from this machine: found out as we go."""

    async def get(
        self,
        lfn: str,
        local: str | os.PathLike[str],
        *,
        site: str | None = None,
        ses: Sequence[str] = (),
        checksum: Sequence[str] = (),
        resume: bool = True,
        overwrite: bool = False,
        direct: bool = True,
        progress: Progress | None = None,
    ) -> Got:
        """Bring a file here, verified: into the folder `local`, or under that name.

        The best source (for a reader at `site`, among `ses` if given) first, the next one on any fault; a source with
        wrong bytes is marked suspect. Meanwhile the bytes are in `NAME.lading-part`, from which a later call resumes.
        `checksum` are the kinds to verify, all known ones without it. With `direct` an element's file that this machine
        has too is copied from there. The same file here already is a success, another one a Conflict without
        `overwrite`. Raises a CatalogError; safe to repeat.
        """
        how = self._reading(site, ses, checksum, resume, overwrite, direct)
        return await _only(self._gets([(lfn, os.fspath(local))], how, Meter(progress)))

    async def get_many(
        self,
        pairs: Pairs,
        *,
        site: str | None = None,
        ses: Sequence[str] = (),
        checksum: Sequence[str] = (),
        resume: bool = True,
        overwrite: bool = False,
        direct: bool = True,
        parallel: int = PARALLEL,
        progress: Progress | None = None,
    ) -> AsyncIterator[Outcome[Got]]:
        """`get` for many (LFN, local name) pairs, `parallel` at a time: an Outcome for each as it ends."""
        how = self._reading(site, ses, checksum, resume, overwrite, direct)
        async for outcome in run(self._gets(pairs, how, Meter(progress)), parallel):
            yield outcome

    async def put(
        self,
        local: str | os.PathLike[str],
        lfn: str,
        *,
        se: str | None = None,
        checksums: Sequence[str] | Mapping[str, str] = ("adler32",),
        guid: str | None = None,
        mode: int | None = None,
        metadata: Mapping[str, Any] | None = None,
        direct: bool = True,
        progress: Progress | None = None,
    ) -> Stored:
        """Store a local file (`-` is standard input) as `lfn`, or in it if that is a directory, on element `se`.

        Without `se` the server picks one. `checksums` are kinds to compute, or values that the bytes must have. Nothing
        is visible before the server has verified the bytes. The same file there already is a success, another one a
        Conflict; a file that changes while it is read is a LocalError. Raises a CatalogError; safe to repeat, `-` is
        not.
        """
        how = self._writing(se, checksums, guid, mode, metadata, direct)
        return await _only(self._puts([(os.fspath(local), lfn)], how, Meter(progress)))

    async def put_many(
        self,
        pairs: Pairs,
        *,
        se: str | None = None,
        checksums: Sequence[str] | Mapping[str, str] = ("adler32",),
        guid: str | None = None,
        mode: int | None = None,
        metadata: Mapping[str, Any] | None = None,
        direct: bool = True,
        parallel: int = PARALLEL,
        progress: Progress | None = None,
    ) -> AsyncIterator[Outcome[Stored]]:
        """`put` for many (local name, LFN) pairs, `parallel` at a time: an Outcome for each as it ends."""
        how = self._writing(se, checksums, guid, mode, metadata, direct)
        async for outcome in run(self._puts(pairs, how, Meter(progress)), parallel):
            yield outcome

    async def read(self, lfn: str, start: int = 0, end: int | None = None, *, se: str | None = None) -> bytes:
        """Bytes `start` to `end` (exclusive; the file's end without it), as a slice. The server picks a source without
        `se`."""
        if end is not None and end <= start:
            return b""

        async def attempt() -> bytes:
            async with opened(self.http, lfn, se, None, start, end) as (response, at):
                data = await response.read()
                return data[start - at : None if end is None else end - at]

        return await retrying(attempt, self.http.tries)

    async def stream(self, lfn: str, *, site: str | None = None, ses: Sequence[str] = ()) -> AsyncIterator[bytes]:
        """All bytes in order, from the best source, continued from the next on a fault; verified when the end is
        reached."""
        file = await self.sources(lfn, site=site or os.environ.get("LADING_SITE"), ses=ses)
        async for chunk in whole(self.http, lfn, file):
            yield chunk

    async def write(self, lfn: str, data: bytes, *, se: str | None = None) -> Stored:
        """Store these bytes as `lfn`. Safe to repeat."""
        digest = Digest(["adler32"])
        digest.update(data)
        how = self._writing(se, digest.result(), None, None, None, False)
        return await retrying(lambda: put_stream(self, BytesIO(data), lfn, how, Meter()), self.http.tries)

    def _reading(
        self,
        site: str | None,
        ses: Sequence[str],
        checksum: Sequence[str],
        resume: bool,
        overwrite: bool,
        direct: bool,
    ) -> Reading:
        kinds = tuple(_checked(kind, name) for name in checksum)
        return Reading(site or os.environ.get("LADING_SITE"), tuple(ses), kinds, resume, overwrite, direct)

    def _writing(
        self,
        se: str | None,
        checksums: Sequence[str] | Mapping[str, str],
        guid: str | None,
        mode: int | None,
        metadata: Mapping[str, Any] | None,
        direct: bool,
    ) -> Writing:
        values = checksums if isinstance(checksums, Mapping) else {}
        expected = {_checked(kind, k): _checked(normalise, k, v) for k, v in values.items()}
        kinds = tuple(_checked(kind, name) for name in checksums)
        site = os.environ.get("LADING_SITE")
        return Writing(se, kinds, expected, guid and canonical(guid), mode, dict(metadata or {}), site, direct)

    async def _gets(self, pairs: Pairs, how: Reading, meter: Meter) -> AsyncIterator[Job[Got]]:
        async for batch, last in looking_ahead(pairs, LOOKUP):
            found = await self.resolve([lfn for lfn, _ in batch], site=how.site, ses=how.ses)
            meter.expect((o.value.size if o.value else 0 for o in found), last)
            for (lfn, local), outcome in zip(batch, found, strict=True):
                yield Job(lfn, partial(self._get, lfn, local, how, outcome, meter))

    async def _puts(self, pairs: Pairs, how: Writing, meter: Meter) -> AsyncIterator[Job[Stored]]:
        async for batch, last in looking_ahead(pairs, LOOKUP):
            meter.expect((size(local) for local, _ in batch), last)
            found = await self._targets(batch)
            for (local, _), (lfn, known) in zip(batch, found, strict=True):
                yield Job(local, partial(self._put, local, lfn, how, known, meter))

    async def _get(self, lfn: str, local: str, how: Reading, found: Outcome[Resolved], meter: Meter) -> Got:
        return await get(self, lfn, local, how, _value(found), meter)

    async def _put(self, local: str, lfn: str, how: Writing, known: Entry | None, meter: Meter) -> Stored:
        if local == "-":
            return await put_stream(self, sys.stdin.buffer, lfn, how, meter)
        return await put_file(self, local, lfn, how, known, meter)

    async def _targets(self, pairs: Sequence[tuple[str, str]]) -> Sequence[tuple[str, Entry | None]]:
        """(LFN, what is there now) for each (local name, LFN): a directory takes the file in."""
        found = [(lfn, o.value) for (_, lfn), o in zip(pairs, await self.stat([lfn for _, lfn in pairs]), strict=True)]
        inside = {}
        for i, ((local, lfn), (_, known)) in enumerate(zip(pairs, found, strict=True)):
            if local != "-" and (lfn.endswith("/") or (known and known.kind is Kind.DIRECTORY)):
                inside[i] = f"{lfn.rstrip('/')}/{os.path.basename(local)}"
        for (i, lfn), outcome in zip(inside.items(), await self.stat(inside.values()), strict=True):
            found[i] = (lfn, outcome.value)
        return found


def _checked(function: Callable[..., T], *args: str) -> T:
    try:
        return function(*args)
    except ValueError as error:
        raise errors.InvalidRequest(str(error)) from None


def _value(outcome: Outcome[T]) -> T:
    value = outcome.get()
    if value is None:
        raise errors.NotFound(f"'{shown(outcome.item)}' does not exist", lfn=outcome.item)
    return value


async def _only(jobs: AsyncIterator[Job[T]]) -> T:
    async for job in jobs:
        return await job.do()
    raise AssertionError("one pair is one job")
