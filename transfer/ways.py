"""The ways that bytes get from one element to another: the best that both storages allow, and what to fall back on."""

from __future__ import annotations

import contextlib
from contextlib import aclosing
from typing import TYPE_CHECKING

import structlog

from lading.model.element import Way
from storage_plugins.errors import ChecksumMismatch, NoSpace, ObjectExists, StorageError, Unsupported
from storage_plugins.powers import Presigns, PullsRemote, PushesRemote, Remote, ServerCopies, supports
from storage_plugins.verify import verify

if TYPE_CHECKING:
    from collections.abc import Mapping

    from storage_plugins.base import Element, ObjectInfo
    from storage_plugins.powers import Presigned

    from .parts import Parts

_log = structlog.get_logger("lading.copy")
_SIGNED = 24 * 3600  # seconds: a large file from tape takes hours
_FINAL = (ObjectExists, NoSpace)  # another way would end in the same. Of what is not there none says on which side


async def ways(source: Element, target: Element) -> list[Way]:
    """What can be tried, best first, as the options of both tell: the storages are not asked."""
    found = []
    if supports(target, ServerCopies) and await target.copies_from(source):
        found.append(Way.SERVER)
    if supports(target, PullsRemote) and supports(source, Presigns):
        found.append(Way.PULL)
    if supports(source, PushesRemote) and supports(target, Presigns):
        found.append(Way.PUSH)
    return [*found, Way.STREAM]


async def carry(
    source: Element,
    source_pfn: str,
    target: Element,
    pfn: str,
    *,
    size: int | None,
    checksums: Mapping[str, str],
    overwrite: bool,
    parts: Parts | None = None,
) -> tuple[ObjectInfo, Way]:
    """Copy an object, verified against `size` and `checksums`; (the copy, how it came). All or nothing.

    A way that fails gives place to the next, down to our own reading and writing: there with `parts` (of the target) a
    large object goes on where an earlier call broke off. Raises StorageError; CatalogError with `parts`.
    """
    for way in (await ways(source, target))[:-1]:
        try:
            await _by(way, source, source_pfn, target, pfn, size=size, overwrite=overwrite)
        except _FINAL:
            raise
        except StorageError as error:
            if not isinstance(error, Unsupported):
                _log.warning("way failed", way=way.value, source=source.name, target=target.name, why=error.message)
            continue
        try:
            return await verify(target, pfn, checksums, size), way
        except ChecksumMismatch as error:  # whose fault that is, our own reading tells
            _log.warning("copy differs", way=way.value, source=source.name, target=target.name, why=error.message)
            with contextlib.suppress(StorageError):
                await target.remove(pfn)
    if parts is not None:
        with contextlib.suppress(Unsupported):
            info = await parts.write(
                source, source_pfn, target, pfn, size=size, checksums=checksums, overwrite=overwrite
            )
            return info, Way.STREAM
    async with aclosing(source.read(source_pfn)) as chunks:
        info = await target.write(pfn, chunks, size=size, overwrite=overwrite, checksums=checksums)
    return info, Way.STREAM


async def _by(
    way: Way, source: Element, source_pfn: str, target: Element, pfn: str, *, size: int | None, overwrite: bool
) -> None:
    if way is Way.SERVER and supports(target, ServerCopies):
        await target.copy_from(source, source_pfn, pfn, overwrite=overwrite)
    elif way is Way.PULL and supports(target, PullsRemote) and supports(source, Presigns):
        signed = await source.presign_get(source_pfn, expires_in=_SIGNED)
        await target.pull(pfn, _remote(signed), size=size, overwrite=overwrite)
    elif supports(source, PushesRemote) and supports(target, Presigns):
        signed = await target.presign_put(pfn, expires_in=_SIGNED, size=size)
        await source.push(source_pfn, _remote(signed), overwrite=overwrite)


def _remote(signed: Presigned) -> Remote:
    return Remote(signed.url, signed.headers)
