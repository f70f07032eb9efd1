"""Put: one local file, or what comes from a pipe, onto an element and into the catalogue; checksums on the way."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec

from ..model import errors
from ..model.checksum import Digest, differing
from ..model.file import Checksums, Entry, Kind
from ..model.lfn import shown
from ..model.replica import ReplicaState
from .direct import write_here
from .local import LocalError, hashed, open_regular, same, threaded, told
from .namespace import LONG
from .read import Mismatch, data_path, verifiable
from .retry import retrying

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

    from .meter import Meter
    from .transfer import Transfers

CHUNK = 2 << 20  # bytes read at a time; three such are in memory
HEADER = 4000  # characters of metadata that fit into a header; the largest values are set afterwards
DIRECT_FROM = 1 << 20  # smaller files are quicker through the server: one call instead of two


class Stored(msgspec.Struct):
    """A file that is stored now. `changed` is False when it was there already."""

    lfn: str
    size: int
    guid: str | None = None
    se: str | None = None
    checksums: Checksums = {}
    changed: bool = True


@dataclass(frozen=True, slots=True)
class Writing:
    """How to put (see Transfers.put). `expected` are checksums that the caller knows already."""

    se: str | None = None
    kinds: tuple[str, ...] = ("adler32",)
    expected: Checksums = field(default_factory=dict)
    guid: str | None = None
    mode: int | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    site: str | None = None
    direct: bool = True


async def put_file(client: Transfers, local: str, lfn: str, how: Writing, known: Entry | None, meter: Meter) -> Stored:
    """The local file `local`; `known` is what the catalogue has at `lfn`. Raises a CatalogError; safe to repeat."""
    with told(local):
        fd, facts = open_regular(local)
        try:
            if known:
                stored = await _there(client, fd, facts, lfn, how, known)
            elif how.direct and facts.st_size >= DIRECT_FROM:
                stored = await write_here(client, fd, facts, local, lfn, how, meter)
            else:
                stored = None
            if stored:
                return stored

            def through() -> Coroutine[Any, Any, Stored]:
                return put_stream(client, os.fdopen(os.dup(fd), "rb"), lfn, how, meter, facts, local)

            return await retrying(through, client.http.tries)
        finally:
            os.close(fd)


async def put_stream(
    client: Transfers,
    stream: BinaryIO,
    lfn: str,
    how: Writing,
    meter: Meter,
    facts: os.stat_result | None = None,
    local: str = "",
) -> Stored:
    """Through the server: all of `stream`, which is closed then; `facts` tell of the file behind it, if there is one.

    Raises LocalError when that file changes meanwhile, and Mismatch when the bytes have other checksums than expected:
    nothing is stored then, since the last bytes are held back until all is well.
    """
    digest = Digest({*how.kinds, *how.expected})
    before = meter.done
    faults: list[Exception] = []

    def more() -> bytes:
        data = stream.read(CHUNK)
        digest.update(data)
        return data

    async def body() -> AsyncIterator[bytes]:
        try:
            held = b""
            while data := await threaded(more):
                if held:
                    yield held
                    meter.add(len(held))
                held = data
            if facts and (digest.size != facts.st_size or not same(facts, os.fstat(stream.fileno()))):
                raise LocalError(f"'{shown(local)}' changed while it was read: put it again", path=local)
            expect(how.expected, digest, local or "standard input")
            if held:
                yield held
                meter.add(len(held))
        except Exception as error:  # aiohttp would tell of a broken connection instead
            faults.append(error)
            raise

    headers = {"Content-Type": "application/octet-stream"}
    headers |= {"Content-Length": str(facts.st_size)} if facts else {}
    headers |= {"X-Lading-Checksums": ",".join(f"{k}:{v}" for k, v in how.expected.items())} if how.expected else {}
    headers |= {"X-Lading-Guid": how.guid} if how.guid else {}
    headers |= {"X-Lading-Mode": f"{how.mode:o}"} if how.mode is not None else {}
    now, later = _fitting(how.metadata)
    headers |= {"X-Lading-Metadata": json.dumps(now)} if now else {}
    try:
        if facts:
            await threaded(stream.seek, 0)
        request = client.http.stream(
            "PUT",
            data_path(lfn),
            params={"se": how.se, "site": how.site},
            headers=headers,
            data=body(),
            wait=LONG,
        )
        async with request as response:
            entry = msgspec.json.decode(await response.read(), type=Entry)
            created = response.status == 201
            se = response.headers.get("X-Lading-Element", how.se)
    except BaseException:
        meter.add(before - meter.done)
        if faults:
            raise faults[0] from None
        raise
    finally:
        stream.close()
    wrong = differing(entry.checksums, digest.result())
    if wrong:
        if created:
            await client.remove([lfn])
        raise Mismatch(
            f"'{shown(lfn)}' got damaged on its way ({', '.join(wrong)}) and was removed again: put it again"
        )
    if later:
        (await client.set_metadata([(lfn, later)]))[0].get()
    return Stored(lfn, digest.size, entry.guid, se, digest.result(), created)


def _fitting(metadata: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(the values that fit into a header, the smallest first; the others)."""
    now, room = {}, HEADER
    for key, value in sorted(metadata.items(), key=lambda item: len(json.dumps(item))):
        room -= len(json.dumps({key: value}))
        if room < 0:
            break
        now[key] = value
    return now, {k: v for k, v in metadata.items() if k not in now}


def expect(expected: Checksums, digest: Digest, what: str) -> None:
    """Raises Mismatch when what was read is not what was `expected`."""
    found = digest.result()
    for kind in differing(expected, found):
        raise Mismatch(f"the {kind} of '{shown(what)}' is {found[kind]}, not {expected[kind]} as expected")


async def _there(
    client: Transfers, fd: int, facts: os.stat_result, lfn: str, how: Writing, known: Entry
) -> Stored | None:
    """What is stored already, when that is this file; None when the server must have a look at the bytes."""
    if known.kind is not Kind.FILE:
        raise errors.Conflict(f"'{shown(lfn)}' is a {known.kind.value}: name the file to be in it", lfn=lfn)
    kinds = verifiable(known.checksums)
    differs = known.size not in (None, facts.st_size) or (how.guid or known.guid) != known.guid
    found = {} if differs else await hashed(fd, kinds, facts.st_size)
    if differs or differing(known.checksums, found):
        raise errors.Conflict(
            f"'{shown(lfn)}' exists with other content, and content never changes: remove it first,"
            " or take another name",
            lfn=lfn,
        )
    if not kinds or not known.replicas:
        return None
    if how.se:
        file = await client.sources(lfn, ses=[how.se])
        if not any(s.se == how.se and s.state is ReplicaState.AVAILABLE for s in file.sources):
            return None
    return Stored(lfn, facts.st_size, known.guid, how.se, found, changed=False)
