"""In what a file to register differs from one that is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from catalog.elements.layout import implied
from catalog.namespace.service import checksums
from lading.model import lfn
from lading.model.errors import Conflict

from .store import FILE

if TYPE_CHECKING:
    import asyncpg

    from .incoming import Incoming


def difference(item: Incoming, row: asyncpg.Record) -> str | None:
    """In what an existing row differs from the file to register; None when they are the same."""
    spec = item.spec
    if row["kind"] != FILE:
        return "a directory has that name" if row["kind"] == 1 else "a link has that name"
    if row["size"] is not None and row["size"] != spec.size:
        return f"its size is {row['size']}, not {spec.size}"
    if item.guid and row["guid"] != item.guid and spec.guid:
        return f"its GUID is {row['guid']}, not {item.guid}"
    known = checksums(row["adler32"], row["csum"])
    mine = checksums(item.adler32, item.others)
    for kind in known.keys() & mine.keys():
        if known[kind] != mine[kind]:
            return f"its {kind} is {known[kind]}, not {mine[kind]}"
    return None


def misplaced(item: Incoming, row: asyncpg.Record) -> str | None:
    """Which copy of the same file is not where the file to register says, if one is."""
    stored = row["pfn"] or {}
    for (element, _, _), replica in zip(item.replicas, item.spec.replicas, strict=True):
        if replica.pfn is not None and element.id in row["se"]:
            there = stored.get(str(element.id)) or implied(element, row["guid"])
            if there != replica.pfn:
                return f"its copy on '{element.name}' is at '{lfn.shown(there)}'"
    return None


def not_yours(guid: str, directory: str, name: str, path: str) -> Conflict:
    where = f"'{lfn.shown(lfn.join(directory, name))}'" if directory.startswith("/") else "a file in the trash"
    return Conflict(f"GUID {guid} belongs to {where}", lfn=path, guid=guid)
