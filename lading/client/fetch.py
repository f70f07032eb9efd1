"""Fetch: all inputs of a job into one folder, or none: the right bytes under their names, or a clear error.

Files come into `.lading-fetch` in the folder, several at a time, from a cache or an element's own files where that may
be. When all are there, they are shown. After an error or a kill what has come stays for the next try, and is compared
again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from ..model import errors
from ..model.file import Checksums
from ..model.lfn import parse, shown
from ..model.outcome import Outcome
from .get import Reading, get
from .jobs import Job, run
from .local import copy, hashed, open_regular, path_of, sync_folder, told
from .meter import Meter
from .part import Identity, Part
from .read import verifiable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from ..model.replica import Resolved
    from .cache import Cache
    from .meter import Progress
    from .transfer import Transfers

STAGING = ".lading-fetch"
_AGAIN = 5  # times that what another process takes out of the cache is brought again


class Fetched(msgspec.Struct):
    """An input that is here now, compared. `how`: `copied` from the element `se`, `cached`, `linked`, `there`."""

    lfn: str
    path: str
    size: int
    guid: str | None = None
    checksums: Checksums = {}
    how: str = "copied"
    se: str | None = None

    @property
    def changed(self) -> bool:
        return self.how != "there"


@dataclass(frozen=True, slots=True)
class Fetching:
    """How to fetch. `link`: `hard` or `symbolic` links to what nobody may write to, in place of copies; "" none."""

    folder: Path
    reading: Reading
    cache: Cache | None = None
    link: str = ""
    parallel: int = 4

    @property
    def staging(self) -> Path:
        return self.folder / STAGING


async def fetch(
    client: Transfers, lfns: Sequence[str], how: Fetching, progress: Progress | None = None
) -> list[Outcome[Fetched]]:
    """An Outcome for each input, in order. With one error among them nothing is shown in the folder.

    Raises InvalidRequest when two would have one name, and a CatalogError when the catalogue cannot be asked.
    Safe to repeat: what is there already, with the right bytes, stays.
    """
    lfns = list(dict.fromkeys(lfns))
    names = _names(lfns)
    found = await client.resolve(lfns, site=how.reading.site, ses=how.reading.ses)
    meter = Meter(progress)
    meter.expect((o.value.size if o.value else 0 for o in found), True)
    with told(how.folder):
        how.staging.mkdir(parents=True, exist_ok=True, mode=0o700)
    if how.cache:
        await how.cache.trim(sum(o.value.size or 0 for o in found if o.value))

    async def jobs() -> AsyncIterator[Job[Fetched]]:
        for lfn, outcome in zip(lfns, found, strict=True):
            yield Job(lfn, partial(_one, client, lfn, names[lfn], how, outcome, meter))

    ended = {outcome.item: outcome async for outcome in run(jobs(), how.parallel)}
    outcomes = [ended[lfn] for lfn in lfns]
    if all(outcome.error is None for outcome in outcomes):
        _show(how, [(lfn, names[lfn]) for lfn in lfns if ended[lfn].changed])
    if how.cache:
        await how.cache.trim()
    return outcomes


def _names(lfns: Sequence[str]) -> dict[str, str]:
    """{LFN: its name in the folder}. Raises InvalidRequest."""
    names: dict[str, str] = {}
    by_name: dict[str, str] = {}
    for lfn in lfns:
        name = parse(lfn).rpartition("/")[2]
        other = by_name.setdefault(name, lfn)
        if other != lfn:
            raise errors.InvalidRequest(f"'{shown(other)}' and '{shown(lfn)}' would have one name: fetch them apart")
        if name in ("", STAGING):
            raise errors.InvalidRequest(f"'{shown(lfn)}' has a name that no input can have: rename it")
        names[lfn] = name
    return names


def _staged(how: Fetching, lfn: str) -> Path:
    return how.staging / hashlib.sha256(lfn.encode()).hexdigest()[:32]


async def _one(
    client: Transfers, lfn: str, name: str, how: Fetching, outcome: Outcome[Resolved], meter: Meter
) -> Fetched:
    """Have it in the staging folder, or find it in place. Raises a CatalogError."""
    file = outcome.get()
    if file is None:
        raise errors.NotFound(f"'{shown(lfn)}' does not exist", lfn=lfn)
    wanted = {k: v for k, v in file.checksums.items() if k in verifiable(file.checksums)}
    target, staged = how.folder / name, _staged(how, lfn)
    fetched = Fetched(lfn, str(target), file.size or 0, file.guid, wanted)
    with told(target):
        if os.path.lexists(target):
            if not wanted or not await _is(target, file, wanted):
                raise errors.Conflict(f"'{shown(str(target))}' is another file: take it away, or fetch elsewhere")
            meter.add(file.size or 0)
            return _with(fetched, "there", None)
        if os.path.lexists(staged):
            if wanted and not staged.is_symlink() and await _is(staged, file, wanted):
                meter.add(file.size or 0)
                return _with(fetched, "copied", None)
            staged.unlink()
        if how.link and (se := await _link(file, wanted, staged, how.link)):
            meter.add(file.size or 0)
            return _with(fetched, "linked", se)
        place = how.cache.place(file, wanted) if how.cache else None
        if place is not None:
            with contextlib.suppress(errors.Conflict):  # another process hangs: without the cache then
                return await _cached(client, fetched, how, file, meter, place, staged)
        got = await get(client, lfn, str(staged), how.reading, file, meter)
        fetched.size = got.size
        return _with(fetched, "copied", got.se)


def _with(fetched: Fetched, how: str, se: str | None) -> Fetched:
    fetched.how, fetched.se = how, se
    return fetched


async def _is(path: Path, file: Resolved, wanted: Checksums) -> bool:
    """Has it the right bytes? Raises OSError."""
    fd, facts = open_regular(path)
    try:
        return file.size in (None, facts.st_size) and await hashed(fd, wanted, facts.st_size) == wanted
    finally:
        os.close(fd)


async def _link(file: Resolved, wanted: Checksums, staged: Path, kind: str) -> str | None:
    """A link to an element's own file of the right bytes that nobody may write to; the element, None when there is
    none."""
    for source in file.sources:
        path = path_of(source.url)
        if path is None or not wanted:
            continue
        with contextlib.suppress(OSError):  # not on this machine, or of another file system
            if os.stat(path, follow_symlinks=False).st_mode & 0o222 or not await _is(Path(path), file, wanted):
                continue
            if kind == "symbolic":
                os.symlink(path, staged)
            else:
                os.link(path, staged, follow_symlinks=False)
            return source.se
    return None


async def _cached(
    client: Transfers, fetched: Fetched, how: Fetching, file: Resolved, meter: Meter, place: Path, staged: Path
) -> Fetched:
    """By way of the cache. Raises a CatalogError; Conflict: do without."""
    assert how.cache
    for _ in range(_AGAIN):
        se = await how.cache.bring(client, fetched.lfn, how.reading, file, fetched.checksums, meter, place)
        try:
            await _from_cache(place, staged, file, fetched.checksums, link=bool(how.link))
        except FileNotFoundError:  # another process made room just now
            continue
        return _with(fetched, "copied" if se else "cached", se)
    raise errors.Conflict("the cache is too small for what is fetched at once")


async def _from_cache(place: Path, staged: Path, file: Resolved, wanted: Checksums, *, link: bool) -> None:
    """Raises FileNotFoundError when it was taken away, Conflict when it is no longer what it was."""
    if link:
        try:
            os.link(place, staged)
        except FileNotFoundError:
            raise
        except OSError:  # another file system, or it can have no more links
            pass
        else:
            return
    fd, facts = open_regular(place)
    try:
        part = Part(staged, Identity(file.guid, file.size, file.checksums), list(wanted), False)
        try:
            await copy(fd, part.fd, 0, facts.st_size, part.digest, Meter())
            if part.digest.result() != wanted:
                raise errors.Conflict("the cache's file has changed while it was copied")
            part.finish(False)
        finally:
            part.close()
    finally:
        os.close(fd)


def _show(how: Fetching, files: Sequence[tuple[str, str]]) -> None:
    """Give all their names; when one has been taken meanwhile, none. Raises Conflict."""
    done: list[tuple[Path, Path]] = []
    for lfn, name in files:
        staged, target = _staged(how, lfn), how.folder / name
        with told(target):
            if os.path.lexists(target):
                for back, shown_as in reversed(done):
                    os.rename(shown_as, back)
                raise errors.Conflict(
                    f"'{shown(str(target))}' has appeared meanwhile: take it away, or fetch elsewhere"
                )
            os.rename(staged, target)
        done.append((staged, target))
    with contextlib.suppress(OSError):  # leftovers of other inputs stay for their next try
        how.staging.rmdir()
    with told(how.folder):
        sync_folder(how.folder)
