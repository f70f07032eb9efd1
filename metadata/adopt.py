"""Declaring a field whose key exists undeclared in open trees: its values take the form of the type, all or none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from lading.model import lfn
from lading.model.errors import Conflict, InvalidRequest
from lading.model.field import FieldType

from . import types
from .adopt_store import AdoptStore, places
from .rewrite_store import RewriteStore

if TYPE_CHECKING:
    from collections.abc import Collection

    from catalog.db import Connection
    from lading.model.field import FieldSpec

_EXAMPLES = 5


class Found(NamedTuple):
    """Files and directories that have the key themselves."""

    files: int
    directories: int


class Adoption:
    def __init__(self) -> None:
        self._store = AdoptStore()
        self._rewrite = RewriteStore()

    async def present(self, connection: Connection, vo: str, keys: Collection[str]) -> set[str]:
        """Which of the keys files or directories of the VO have themselves; no locks are needed."""
        scope = await self._rewrite.scope(connection, f"/{vo}")
        found = set[str]()
        for place in places(scope, inherited=False):
            if left := [k for k in keys if k not in found]:
                found |= await self._store.present(connection, place, left)
        return found

    async def look(self, connection: Connection, spec: FieldSpec) -> Found:
        """How many values there are. Raises Conflict, with how many are none of the type and some of them, unless all
        would be accepted if they were set now (rules bind what is set from now on)."""
        scope = await self._rewrite.scope(connection, f"/{spec.vo}")
        found = Found(*await self._rewrite.count(connection, scope, spec.name))
        if not any(found) or spec.type is FieldType.JSON:
            return found
        misfits, examples = 0, list[tuple[int, str]]()
        for place in places(scope, inherited=False):
            for row in await self._store.values(connection, place, spec.name):
                if _converted(spec, row["text"]) is None:
                    misfits += row["n"]
                    examples.append((row["id"], row["text"]))
            del examples[_EXAMPLES:]
        if misfits:
            paths = await self._store.paths(connection, [e[0] for e in examples])
            some = [f"{lfn.shown(p, 200)}: {lfn.shown(t, 60)}" for p, (_, t) in zip(paths, examples, strict=True)]
            told = f"{found.files} files and {found.directories} directories have an undeclared '{spec.name}', and "
            told += f"{misfits} of these values are no {spec.type.value}, such as {some[0]}"
            raise Conflict(
                f"{told}: change them, or declare it as json",
                field=spec.name, files=found.files, directories=found.directories, misfits=misfits, examples=some,
            )  # fmt: skip
        return found

    async def convert(self, connection: Connection, spec: FieldSpec) -> None:
        """Give all values the stored form of the type, after `look`."""
        if spec.type is FieldType.JSON:
            return
        scope = await self._rewrite.scope(connection, f"/{spec.vo}")
        for place in places(scope, inherited=True):
            old, new = list[str](), list[Any]()
            for row in await self._store.values(connection, place, spec.name):
                value = _converted(spec, row["text"])
                if value is not None and value.differs:
                    old.append(row["text"])
                    new.append(value.stored)
            if old:
                await self._store.convert(connection, place, spec.name, old, new)


class _Converted(NamedTuple):
    stored: Any
    differs: bool


def _converted(spec: FieldSpec, text: str) -> _Converted | None:
    """None when it is none of the type."""
    value = msgspec.json.decode(text)
    try:
        if spec.type is FieldType.FLOAT and type(value) is int:
            value = float(value)  # 1e22 was stored with all its digits
        stored = types.store(spec.type, value, spec.name)
    except (InvalidRequest, OverflowError):
        return None
    # 3.0 becomes 3 of an int; any number is one of a float, and keeps all its digits.
    same = stored == value and (spec.type is not FieldType.INT or type(value) is int)
    return _Converted(stored, not same)
