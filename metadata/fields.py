"""Fields: declared, changed and deleted by the administrators of a VO, read by everybody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import structs, to_builtins

from catalog import db
from catalog.access.rights import require_governor
from catalog.namespace.service import Same, outcomes
from lading.model import lfn
from lading.model.errors import CatalogError, Conflict, InvalidRequest, NotFound
from lading.model.field import Field, FieldSpec, IndexState
from lading.model.metadata import FieldEffect

from . import declaration
from .adopt import Adoption
from .fields_store import FieldsStore
from .index_store import INDEXABLE
from .known import info
from .rewrite_store import DELETE, RENAME, RETYPE, RewriteStore, Scope

if TYPE_CHECKING:
    from collections.abc import Sequence

    from catalog.db import Database, Transaction
    from catalog.namespace.service import NamespaceService
    from lading.model.metadata import FieldChange
    from lading.model.outcome import Outcomes
    from lading.model.principal import Caller

    from .indexing import Indexer
    from .known import Known, KnownFields

_GRACE = 10_000_000  # microseconds from the wish for an index to its beginning


class Fields:
    def __init__(self, database: Database, names: NamespaceService, known: Known, indexer: Indexer) -> None:
        self._db = database
        self._names = names
        self._known = known
        self._indexer = indexer
        self._store = FieldsStore()
        self._rewrite = RewriteStore()
        self._adoption = Adoption()

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def every(self, caller: Caller, vo: str | None = None) -> list[Field]:
        """The fields of all VOs, or of one, by VO and name. Names of fields are no secret among users."""
        del caller
        async with self._db.read() as connection:
            now = await self._known.at(connection)
            busy, done = set[int](), dict[int, float]()
            if any(f.index_state is IndexState.BUILDING for fields in now.fields.values() for f in fields.values()):
                busy, done = await self._indexer.states(connection)
                now = await self._known.at(connection)  # after that look: whose work has ended is no longer building
        found = [f for v, fields in now.fields.items() if vo is None or v == vo for f in fields.values()]
        return [_progress(f, now, busy, done) for f in found]

    async def show(self, caller: Caller, vo: str, name: str) -> Field:
        """One field. Raises NotFound."""
        for found in await self.every(caller, vo):
            if found.name == name:
                return found
        raise _missing(vo, name)

    # ── declaring ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def declare(self, caller: Caller, specs: Sequence[FieldSpec], *, dry_run: bool = False) -> Outcomes[Field]:
        """Declare fields; the same again is a success. Outcome errors: Forbidden (who is no administrator of the VO),
        InvalidRequest (a bad name or rule), Conflict (the name has another declaration, or values that don't fit).

        Values of that name that open trees took undeclared are the field's from now on, in the form of its type.
        """
        wanted: list[str] = []
        held = await self._held(caller, specs)

        async def work(tx: Transaction) -> Outcomes[Field]:
            wanted.clear()
            results = await self._declare(tx, specs, held)
            done = [s for s, r in zip(specs, results, strict=True) if isinstance(r, Field)]
            wanted.extend(f"{s.vo}/{s.name}" for s in done if s.indexed)
            tx.audit([f"{s.vo}/{s.name}" for s in done])
            return outcomes([s.name for s in specs], results, changes=True)

        made = await self._db.change(caller, "field.add", work, dry_run=dry_run, wide=True)
        if not dry_run:
            for path in wanted:
                await self._settle(*path.split("/", 1))
        return made

    async def _held(self, caller: Caller, specs: Sequence[FieldSpec]) -> set[tuple[str, str]]:
        """(VO, key) of undeclared values. There may be some where no tree is open: it was closed, or a directory came
        from another VO. Looks at every file of the VO, and so before anybody has to wait for the declaration."""
        keys: dict[str, set[str]] = {}
        async with self._db.read(wide=True) as connection:
            now = await self._known.at(connection)
            for spec in specs:
                if caller.principal.governs(f"/{spec.vo}") and spec.name not in now.fields.get(spec.vo, {}):
                    keys.setdefault(spec.vo, set()).add(spec.name)
            return {(vo, k) for vo, names in keys.items() for k in await self._adoption.present(connection, vo, names)}

    async def _declare(self, tx: Transaction, specs: Sequence[FieldSpec], held: set[tuple[str, str]]) -> list[Any]:
        results: list[Any] = [None] * len(specs)
        rows: dict[tuple[str, str], tuple[int, dict[str, Any]]] = {}
        taken: dict[tuple[str, str], int] = {}
        await self._names.store.lock(
            tx.connection, [f"/{v}" for v in {s.vo for s in specs} if declaration.is_vo(v)], exclusive=True
        )
        now = await self._known.at(tx.connection)
        for i, spec in enumerate(specs):
            try:
                row = declaration.columns(tx.caller.principal, spec) | {"on_files": False, "on_dirs": False}
                there = now.fields.get(spec.vo, {}).get(spec.name)
                if there is not None:
                    if not declaration.same(there, spec):
                        told = f"'{spec.vo}' has a field '{spec.name}' that is declared otherwise"
                        raise Conflict(f"{told}: change it, see 'lading field set'", field=spec.name)
                    results[i] = Same(there)
                elif (spec.vo, spec.name) in rows:
                    raise Conflict(f"'{spec.name}' is declared twice in this call", field=spec.name)
                else:
                    if (spec.vo, spec.name) in held or any(lfn.vo(tree) == spec.vo for tree in now.trees):
                        files, directories = await self._adoption.look(tx.connection, spec)
                        taken[spec.vo, spec.name] = files + directories
                        row |= {"on_files": files > 0, "on_dirs": directories > 0}
                    rows[spec.vo, spec.name] = (i, row)
            except CatalogError as error:
                results[i] = error
        if rows:
            added = await self._store.add(tx.connection, [r for _, r in rows.values()], tx.caller.principal.id, tx.at)
            assert added == rows.keys()
            for (vo, name), (i, _) in rows.items():
                found = await self._store.lock(tx.connection, vo, name)
                assert found is not None
                if specs[i].indexed:
                    await self._store.set_index(tx.connection, found["id"], "building", tx.at)
                    found["index_state"] = "building"
                if taken.get((vo, name)):
                    await self._adoption.convert(tx.connection, specs[i])
                results[i] = structs.replace(info(found), taken=taken.get((vo, name), 0))
            await self._known.changed(tx)
        return results

    # ── changing ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def change(self, caller: Caller, vo: str, name: str, body: FieldChange) -> FieldEffect:
        """Change a field, and its values where its name or type changes: all in one transaction; nobody changes names
        in the VO meanwhile, nor while a field is counted again. Safe to repeat but for a new name.

        Raises NotFound, Forbidden, InvalidRequest (a rule that is none; not a wider type), Conflict (the name is
        taken; the index is on; a value does not fit the new type).
        """
        require_governor(caller.principal, f"/{vo}")
        moves = body.name not in (None, name) or body.type is not None or body.recount

        async def work(tx: Transaction) -> FieldEffect:
            if moves:
                await self._names.store.lock(tx.connection, [f"/{vo}"], exclusive=True)
            row = await self._locked(tx, vo, name)
            old = info(row)
            new = declaration.changed(old, body)
            effect = FieldEffect(new, dry_run=body.dry_run)
            if (new.name, new.type) != (old.name, old.type):
                if row["index_state"] != "none":
                    told = f"'{name}' is indexed: switch its index off first ('lading field index {vo} {name} --off')"
                    raise Conflict(told, field=name)
                effect.files, effect.directories = await self._convert(tx, old, new)
            row = await self._row_of(tx, row, new)
            await self._store.change(tx.connection, row, tx.at)
            if body.recount:
                scope = await self._rewrite.scope(tx.connection, f"/{vo}")
                effect.files, effect.directories = await self._rewrite.count(tx.connection, scope, new.name)
                set_on = effect.files > 0, effect.directories > 0
                await self._store.set_use(tx.connection, row["id"], *set_on)
                effect.field = structs.replace(new, on_files=set_on[0], on_dirs=set_on[1])
            await self._known.changed(tx)
            said = {k: v for k, v in to_builtins(body).items() if k != "dry_run"}
            tx.audit([f"{vo}/{name}"], files=effect.files, directories=effect.directories, **said)
            return effect

        return await self._db.change(caller, "field.set", work, dry_run=body.dry_run, wide=True)

    async def _row_of(self, tx: Transaction, row: dict[str, Any], new: Field) -> dict[str, Any]:
        checked = declaration.columns(
            tx.caller.principal, FieldSpec(**{f: getattr(new, f) for f in FieldSpec.__struct_fields__})
        )
        return row | checked

    async def _convert(self, tx: Transaction, old: Field, new: Field) -> tuple[int, int]:
        """Give the values their new key and form; (files, directories) that have their own."""
        scope = await self._rewrite.scope(tx.connection, f"/{old.vo}")
        files, directories = await self._rewrite.count(tx.connection, scope, old.name, files=old.on_files)
        if new.type is not old.type:
            await self._retype(tx, scope, old, new)
        if new.name != old.name:
            taken = new.name in (await self._known.at(tx.connection)).fields[old.vo]
            if taken or any(await self._rewrite.count(tx.connection, scope, new.name)):
                raise Conflict(f"'{old.vo}' has a field or undeclared values '{new.name}' already", field=new.name)
            await self._rewrite.rewrite(tx.connection, scope, RENAME, old.name, new.name, files=old.on_files)
        return files, directories

    async def _retype(self, tx: Transaction, scope: Scope, old: Field, new: Field) -> None:
        pair = (old.type.value, new.type.value)
        if pair not in RETYPE:
            raise InvalidRequest(
                f"{pair[0]} can't become {pair[1]}: int becomes float, date timestamp, and any string or json",
                field=old.name,
            )
        if pair == ("json", "string"):
            misfit = await self._rewrite.misfit(tx.connection, scope, old.name, ["string"], files=old.on_files)
            if misfit is not None:
                raise Conflict(f"'{old.name}' has a value that is no string: {str(misfit)[:80]}", field=old.name)
        await self._rewrite.rewrite(tx.connection, scope, RETYPE[pair], old.name, files=old.on_files)

    async def remove(self, caller: Caller, vo: str, name: str, *, dry_run: bool = False) -> FieldEffect:
        """Delete a field and every value of it. With `dry_run` only what would go is told. Raises NotFound,
        Forbidden."""
        require_governor(caller.principal, f"/{vo}")
        ids: list[int] = []

        async def work(tx: Transaction) -> FieldEffect:
            await self._names.store.lock(tx.connection, [f"/{vo}"], exclusive=True)
            row = await self._locked(tx, vo, name)
            field = info(row)
            scope = await self._rewrite.scope(tx.connection, f"/{vo}")
            counts = await self._rewrite.count(tx.connection, scope, name, files=field.on_files)
            if not dry_run:
                await self._rewrite.rewrite(tx.connection, scope, DELETE, name, files=field.on_files)
                await self._store.remove(tx.connection, row["id"])
                await self._known.changed(tx)
            tx.audit([f"{vo}/{name}"], files=counts[0], directories=counts[1])
            ids[:] = [row["id"]]
            return FieldEffect(field, *counts, dry_run=dry_run)

        gone = await self._db.change(caller, "field.remove", work, dry_run=dry_run, wide=True)
        if not dry_run:
            self._indexer.settle(ids[0])
        return gone

    # ── indexes ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def set_index(self, caller: Caller, vo: str, name: str, *, on: bool) -> Field:
        """Have a field indexed, or not any more; it goes on in the background while everybody works. Safe to repeat:
        asked again, it goes on with what was broken off. Raises NotFound, Forbidden, InvalidRequest (json)."""
        require_governor(caller.principal, f"/{vo}")

        async def work(tx: Transaction) -> None:
            row = await self._locked(tx, vo, name)
            if on and row["type"] not in INDEXABLE:
                raise InvalidRequest(f"'{name}' is {row['type']}, which can't be indexed", field=name)
            if on and row["index_state"] == "ready":
                return
            state = "building" if on else "none"
            if on or row["index_state"] != state:
                await self._store.set_index(tx.connection, row["id"], state, tx.at)
                await self._known.changed(tx)
                tx.audit([f"{vo}/{name}"], on=on)

        await self._db.change(caller, "field.index", work)
        await self._settle(vo, name)
        return await self.show(caller, vo, name)

    async def _settle(self, vo: str, name: str) -> None:
        async with self._db.read() as connection:
            now = await self._known.at(connection)
        if (vo, name) in now.ids:
            self._indexer.settle(now.ids[vo, name])

    async def _locked(self, tx: Transaction, vo: str, name: str) -> dict[str, Any]:
        row = await self._store.lock(tx.connection, vo, name)
        if row is None:
            raise _missing(vo, name)
        return row


def _missing(vo: str, name: str) -> NotFound:
    return NotFound(
        f"'{lfn.shown(vo, 80)}' has no field '{lfn.shown(name, 80)}': see 'lading field ls'", vo=vo, field=name
    )


def _progress(field: Field, now: KnownFields, busy: set[int], done: dict[int, float]) -> Field:
    """With how far its index is; nobody being at it, it is broken off."""
    if field.index_state is not IndexState.BUILDING:
        return field
    field_id = now.ids[field.vo, field.name]
    if field_id not in busy and db.now() - now.asked[field_id] > _GRACE:
        told = "broken off: the server that built it was stopped; the worker goes on within a minute, or ask again"
        return structs.replace(field, index_state=IndexState.FAILED, index_error=told)
    return structs.replace(field, index_progress=done.get(field_id, 0.0))
