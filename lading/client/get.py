"""Get: one file from its best source, whatever its sources' faults, into place here with its checksum verified."""

from __future__ import annotations

import asyncio
import errno
import os
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from ..model import errors
from ..model.file import Checksums
from ..model.lfn import shown
from ..model.replica import ReplicaRef, ReplicaState, Resolved, Source
from .local import copy, hashed, open_regular, path_of, threaded, told
from .part import Identity, Part
from .read import Mismatch, check, opened, verifiable
from .retry import FIRST, MOST

if TYPE_CHECKING:
    from .meter import Meter
    from .transfer import Transfers

FLUSH = 2 << 20  # bytes gathered from the network before a thread hashes and writes them


class Got(msgspec.Struct):
    """A file that is here now. `checksums` were verified; `se` is None and `changed` False when it was here already."""

    lfn: str
    path: str
    size: int
    se: str | None = None
    checksums: Checksums = {}
    resumed: int = 0
    changed: bool = True


@dataclass(frozen=True, slots=True)
class Reading:
    """How to get (see Transfers.get). `kinds` are the checksums to verify, all known ones when empty."""

    site: str | None = None
    ses: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    resume: bool = True
    overwrite: bool = False
    direct: bool = True


async def get(client: Transfers, lfn: str, local: str, how: Reading, file: Resolved, meter: Meter) -> Got:
    """Bring `file` to `local`. Raises a CatalogError; what has come stays for the next try unless it is wrong."""
    inside = local.endswith("/") or os.path.isdir(local)
    target = Path(local, lfn.rpartition("/")[2]) if inside else Path(local)
    wanted = {k: v for k, v in file.checksums.items() if k in (how.kinds or verifiable(file.checksums))}
    if set(how.kinds) - set(wanted):
        has = ", ".join(file.checksums) or "none"
        raise errors.InvalidRequest(f"'{shown(lfn)}' has no {' or '.join(how.kinds)} checksum: it has {has}", lfn=lfn)
    with told(target):
        target = Path(os.path.realpath(target)) if os.path.islink(target) else target
        if os.path.lexists(target):
            if not how.overwrite:
                return await _keep(lfn, target, file, wanted)
            os.close(open_regular(target)[0])  # nobody wants a device or a FIFO replaced
        if not file.sources:
            raise errors.Unavailable(f"'{shown(lfn)}' cannot be read: {file.why or 'it has no replica'}", lfn=lfn)
        identity = Identity(file.guid, file.size, file.checksums)
        part = await threaded(Part, target, identity, list(wanted), how.resume)
        try:
            meter.add(part.offset)
            se = await _from_any(client, lfn, how.direct, file, part, meter)
            await threaded(part.finish, how.overwrite)
        finally:
            await threaded(part.close)
    return Got(lfn, str(target), part.offset, se, wanted, part.resumed)


async def _keep(lfn: str, target: Path, file: Resolved, wanted: Checksums) -> Got:
    """The local file that is there already, if it is the one wanted."""
    fd, facts = open_regular(target)
    try:
        right = bool(wanted) and file.size in (None, facts.st_size)
        if right and await hashed(fd, wanted, facts.st_size) == wanted:
            return Got(lfn, str(target), facts.st_size, None, wanted, changed=False)
    finally:
        os.close(fd)
    why = "is another file" if wanted else "exists, and the catalogue has no checksum to compare it by"
    raise errors.Conflict(f"'{shown(str(target))}' {why}: use --overwrite to replace it", path=str(target))


async def _from_any(client: Transfers, lfn: str, direct: bool, file: Resolved, part: Part, meter: Meter) -> str:
    """The element whose bytes proved right. Sources are tried in order, and round again while that may help."""
    ways = [(s, here) for s in file.sources for here in (True, False) if not here or (direct and path_of(s.url))]
    faults: dict[str, errors.CatalogError] = {}
    idle = 0
    while ways and idle < client.http.tries:
        before = part.offset
        for way in list(ways):
            source, here = way
            alone = part.offset == 0
            try:
                if file.size is None or part.offset < file.size:
                    await (_here if here else _over_http)(client, lfn, source, file, part, meter)
                check(file, part.digest.result(), part.offset)
                return source.se
            except errors.Unauthenticated:
                raise
            except Mismatch as error:
                if alone and not here:
                    await _suspect(client, lfn, source, error)
                meter.add(-part.offset)
                await threaded(part.restart)
                faults[source.se], final = (
                    error,
                    alone,
                )  # if not alone, its bytes deserve a hearing of their own
            except errors.CatalogError as error:
                faults[source.se], final = error, not error.retryable
            if final:
                ways.remove(way)
        idle = 0 if part.offset > before else idle + 1
        if ways and idle:
            await asyncio.sleep(min(MOST, FIRST * 2**idle))
    kinds = {type(fault) for fault in faults.values()}
    failed = kinds.pop() if len(kinds) == 1 else errors.Unavailable
    why = {se: fault.message for se, fault in faults.items()}
    told = "; ".join(f"{se}: {fault}" for se, fault in why.items())
    unreadable = failed(f"'{shown(lfn)}' cannot be read: {told}", lfn=lfn, sources=why)
    unreadable.retryable = any(fault.retryable for fault in faults.values())
    raise unreadable


async def _suspect(client: Transfers, lfn: str, source: Source, why: Mismatch) -> None:
    """Tell the catalogue of wrong bytes. Who may not, or cannot reach it just now, has tried."""
    note = f"a reader got wrong bytes: {why}"
    try:
        await client.set_replica_state([ReplicaRef(lfn, source.se, source.pfn, ReplicaState.SUSPECT, note)])
    except errors.CatalogError:
        return


async def _here(_client: Transfers, _lfn: str, source: Source, file: Resolved, part: Part, meter: Meter) -> None:
    """From the element's own file, when this machine has it too. Raises NotFound when it is not to be had so."""
    try:
        fd, facts = open_regular(path_of(source.url) or "")
    except OSError as error:
        raise errors.NotFound(f"not on this machine: {error.strerror}") from None
    try:
        if file.size not in (None, facts.st_size):
            raise errors.NotFound(f"not on this machine with {file.size} bytes")
        began = meter.done - part.offset
        try:
            await copy(fd, part.fd, part.offset, facts.st_size, part.digest, meter)
        except OSError as error:
            meter.add(began - meter.done)
            await threaded(part.restart)
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise errors.NotFound(f"reading it on this machine failed: {error.strerror}") from None
        part.offset = facts.st_size
    finally:
        os.close(fd)


async def _over_http(client: Transfers, lfn: str, source: Source, file: Resolved, part: Part, meter: Meter) -> None:
    """From the server, or where it sends us; from `part.offset` on. The bytes that came before a fault are kept."""
    reading = opened(client.http, lfn, source.se, file.guid, part.offset)
    async with reading as (response, start), aclosing(client.http.body(response)) as chunks:
        if start != part.offset:
            meter.add(-part.offset)
            await threaded(part.restart)
        writing: asyncio.Task[None] | None = None
        gathered: list[bytes | memoryview] = []
        count, came = 0, part.offset
        try:
            async for chunk in chunks:
                gathered.append(chunk)
                count += len(chunk)
                came += len(chunk)
                if file.size is not None and came > file.size:
                    gathered.clear()
                    raise Mismatch(f"more than the {file.size} bytes of the catalogue came")
                if count >= FLUSH:
                    if writing:
                        await writing
                    writing = asyncio.create_task(threaded(part.write, gathered))
                    meter.add(count)
                    gathered, count = [], 0
        finally:
            if writing:
                await asyncio.wait([writing])
                writing.result()
            await threaded(part.write, gathered)
            meter.add(count)
