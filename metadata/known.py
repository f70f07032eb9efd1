"""The declared fields as this process knows them: what `catalog.namespace.values` asks for."""

from __future__ import annotations

import difflib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lading.model import lfn
from lading.model.errors import InvalidRequest
from lading.model.field import Field, FieldType, IndexState

from . import rules, types
from .fields_store import FieldsStore

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from catalog.db import Connection, Transaction
    from lading.model.file import Metadata

_AGE = 5.0


@dataclass(slots=True)
class KnownFields:
    """All fields and open trees of one epoch. Replaced whole, so that whoever has it in hand sees one state."""

    epoch: int = -1
    fields: dict[str, dict[str, Field]] = field(default_factory=dict)
    ids: dict[tuple[str, str], int] = field(default_factory=dict)
    asked: dict[int, int] = field(default_factory=dict)
    """{id: when its index was asked for}"""
    trees: frozenset[str] = frozenset()
    required: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    """{VO: [(directory, field that is required below it)]}"""
    checkers: dict[str, dict[str, Callable[[object], Any]]] = field(default_factory=dict)

    def checks(self, vo: str) -> dict[str, Callable[[object], Any]]:
        """{field: from a caller's value to its stored form}; made on first use."""
        found = self.checkers.get(vo)
        if found is None:
            found = self.checkers[vo] = {name: rules.checker(f) for name, f in self.fields.get(vo, {}).items()}
        return found


class Known:
    """Implements `catalog.namespace.values.Values`."""

    def __init__(self) -> None:
        self._store = FieldsStore()
        self._at = 0.0
        self.now = KnownFields()

    def forget(self) -> None:
        """Another process changed fields."""
        self._at = 0.0

    async def ready(self, connection: Connection) -> None:
        if time.monotonic() - self._at > _AGE:
            at = time.monotonic()
            await self.current(connection)
            self._at = at

    async def current(self, connection: Connection) -> None:
        await self.at(connection)

    async def at(self, connection: Connection) -> KnownFields:
        """The fields as they are in this connection's snapshot, for a query to be bound to."""
        now = self.now
        if await self._store.epoch(connection) == now.epoch:
            return now
        found = _load(await self._store.all(connection))
        if found.epoch > self.now.epoch:  # an old snapshot's are for itself alone
            self.now = found
        return found

    def stored(self, path: str, values: Metadata) -> Metadata:
        vo = lfn.vo(path)
        checks = self.now.checks(vo)
        made: Metadata = {}
        for key, value in values.items():
            check = checks.get(key)
            if value is None:
                made[key] = None
            elif check is not None:
                made[key] = check(value)
            elif self._open(path):
                made[key] = types.store(FieldType.JSON, value, rules.check_name(key))
            else:
                raise self._unknown(vo, key, path)
        return made

    def shown(self, path: str, values: Metadata) -> Metadata:
        declared = self.now.fields.get(lfn.vo(path))
        if not declared:
            return values
        return {k: show(declared[k].type, v) if k in declared else v for k, v in values.items()}

    def required(self, directory: str) -> Collection[str]:
        every = self.now.required
        if not every:
            return ()
        return {name for top, name in every.get(lfn.vo(directory), ()) if lfn.is_within(directory, top)}

    def rules_around(self, directory: str, keys: Collection[str]) -> set[tuple[str, str]]:
        """(directory, field) of the rules about these fields that bind something at or below `directory`: where they
        do so first."""
        return {
            (directory if lfn.is_within(directory, top) else top, name)
            for top, name in self.now.required.get(lfn.vo(directory), ())
            if name in keys and (lfn.is_within(directory, top) or lfn.is_within(top, directory))
        }

    async def learn(self, tx: Transaction, used: Mapping[str, Collection[str]], *, directories: bool) -> None:
        changed = False
        for vo in sorted(used):
            declared = self.now.fields.get(vo, {})
            new = [k for k in sorted(used[vo]) if k in declared]
            new = [k for k in new if not (declared[k].on_dirs if directories else declared[k].on_files)]
            if new:
                changed |= await self._store.learn(tx.connection, vo, new, directories=directories)
        if changed:
            await self.changed(tx)

    async def changed(self, tx: Transaction) -> None:
        """This transaction changes fields or open trees."""
        await self._store.bump(tx.connection)
        tx.notices.add("fields")
        tx.after.append(self.forget)

    def _open(self, path: str) -> bool:
        trees = self.now.trees
        return bool(trees) and not trees.isdisjoint((*lfn.parents(path), path))

    def _unknown(self, vo: str, key: str, path: str) -> InvalidRequest:
        if not vo:
            return InvalidRequest("the root takes no metadata: fields belong to a VO", lfn=path)
        like = difflib.get_close_matches(key, self.now.fields.get(vo, ()), 1)
        told = f"did you mean '{like[0]}'?" if like else f"see 'lading field ls {vo}', or have it declared"
        return InvalidRequest(f"'{lfn.shown(vo)}' has no field '{key[:80]}': {told}", lfn=path, field=key[:80])


def show(kind: FieldType, stored: Any) -> Any:
    """A stored value as people see it; one that is not of the type (it came with a directory from another VO) as it
    is."""
    if kind is FieldType.FLOAT and type(stored) is int:
        return float(stored)
    if kind in (FieldType.TIMESTAMP, FieldType.DATE):
        try:
            return types.show(kind, stored)
        except (TypeError, ValueError, OverflowError):
            return stored
    return stored


def _load(row: Any) -> KnownFields:
    made = KnownFields(row["epoch"], trees=frozenset(row["trees"]))
    for f in row["fields"]:
        one = info(f)
        made.fields.setdefault(one.vo, {})[one.name] = one
        made.ids[one.vo, one.name] = f["id"]
        made.asked[f["id"]] = f["index_at"]
        for path in one.required_below:
            made.required.setdefault(one.vo, []).append((path, one.name))
    return made


def info(row: Mapping[str, Any]) -> Field:
    """A row of `field` as it is told. Rules are in their shown form."""
    kind = FieldType(row["type"])

    def shown(value: Any) -> Any:
        return None if value is None else show(kind, value)

    state = IndexState(row["index_state"])
    return Field(
        row["vo"],
        row["name"],
        kind,
        row["unit"],
        row["description"],
        [shown(v) for v in row["allowed"] or ()],
        row["pattern"],
        shown(row["minimum"]),
        shown(row["maximum"]),
        state is not IndexState.NONE,
        list(row["required_below"]),
        row["on_files"],
        row["on_dirs"],
        state,
        None,
        row["index_error"],
    )
