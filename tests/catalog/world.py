"""A catalogue to act in: every service on a database of the test's own, people, elements, and short ways to ask."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import asyncpg

from doors import app
from doors.config import Config
from lading.model.api import Link, Move, Names, Resolve, SetAttributes
from lading.model.element import ElementInfo, ElementSpec
from lading.model.errors import Fault
from lading.model.field import FieldSpec, FieldType
from lading.model.file import Entry, FileSpec, ReplicaSpec, TrashItem
from lading.model.metadata import Described, NameValues, SetMetadata
from lading.model.outcome import Outcomes
from lading.model.people import GroupSpec, UserSpec, VOSpec
from lading.model.principal import SYSTEM, Caller
from lading.model.replica import ReplicaRef, Resolved

from .invariants import broken

SCOPES = ("read", "write", "admin")


class World:
    """`admin` is the server's administrator. Methods that act take the caller first and answer errors by their codes."""

    def __init__(self, dsn: str, folder: Path, pool: int = 4) -> None:
        self.dsn = dsn
        self.folder = folder
        self.services = app.wire(Config(database_url=dsn, data=str(folder), pool_size=pool))
        self.admin = Caller(SYSTEM.principal, "192.0.2.1", "test")

    async def close(self) -> None:
        await self.services.close()

    async def check(self) -> None:
        """The invariants, in the middle of a test."""
        assert await broken(self.dsn) == {}

    async def sql(self, statement: str, *values: Any) -> Any:
        """Rows of a statement, past every service."""
        connection = await asyncpg.connect(self.dsn)
        try:
            return await connection.fetch(statement, *values)
        finally:
            await connection.close()

    # ── people and elements ──────────────────────────────────────────────────────────────────────────────────────────

    async def people(self, **groups_of: Sequence[str]) -> list[Caller]:
        """Users by name with their groups (made where new), as callers."""
        known = {g.name for g in (await self.services.people.groups(self.admin)).items}
        for group in dict.fromkeys(g for groups in groups_of.values() for g in groups):
            if group not in known:
                await self.services.people.add_group(self.admin, GroupSpec(group))
        for name, groups in groups_of.items():
            await self.services.people.add_user(self.admin, UserSpec(name, list(groups)))
        return [await self.caller(name) for name in groups_of]

    async def caller(self, name: str, *scopes: str) -> Caller:
        """A user as they are now, through a token of the given scopes (all of them by default)."""
        async with self.services.database.read() as connection:
            user_id = (await self.services.access.ids(connection, "u", [name]))[name]
            principal = await self.services.access.principal(connection, user_id, scopes or SCOPES)
        return Caller(principal, "198.51.100.7", f"call of {name}")

    async def vo(self, name: str, *admins: str) -> None:
        """A VO with its directory, which everybody may read, and administrators."""
        await self.services.people.set_vo(self.admin, VOSpec(name, list(admins)))
        await self.mkdir(self.admin, f"/{name}", mode=0o755)

    async def elements(self, *names: str, **options: Any) -> list[ElementInfo]:
        """POSIX elements below the test's folder."""
        made = []
        for name in names:
            path = self.folder / "se" / name
            path.mkdir(parents=True)
            spec = ElementSpec(name, "posix", {"path": str(path), "fsync": False}, **options)
            made.append(await self.services.elements.add(self.admin, spec))
        return made

    # ── names ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def mkdir(self, who: Caller, *lfns: str, parents: bool = True, mode: int | None = None) -> list[str]:
        return codes(await self.services.names.make_directories(who, lfns, parents=parents, mode=mode))

    async def register(self, who: Caller, *specs: FileSpec | str, parents: bool = True) -> list[str]:
        files = [FileSpec(s, 10) if isinstance(s, str) else s for s in specs]
        return codes(await self.services.registrar.register(who, files, parents=parents))

    async def link(self, who: Caller, **targets: str) -> list[str]:
        """Links given as `path=target`, a path's slashes written `__`."""
        links = [Link("/" + name.replace("__", "/"), target) for name, target in targets.items()]
        return codes(await self.services.names.make_links(who, links))

    async def move(self, who: Caller, *pairs: tuple[str, str]) -> list[str]:
        return codes(await self.services.tree.move(who, [Move(s, t) for s, t in pairs]))

    async def remove(self, who: Caller, *lfns: str, recursive: bool = False, keep: int | None = None) -> list[str]:
        return codes(await self.services.trash.remove(who, lfns, recursive=recursive, keep=keep))

    async def trash(self, who: Caller, under: str = "/") -> dict[str, TrashItem]:
        """What is in the trash by the path it had (the last removed of that path)."""
        return {i.lfn: i for i in (await self.services.trash.page(who, under=under)).items}

    async def restore(self, who: Caller, *lfns: str, to: str | None = None) -> list[str]:
        items = await self.trash(self.admin)
        return codes(await self.services.trash.restore(who, [items[path].id for path in lfns], to=to))

    async def set(self, who: Caller, *lfns: str, **changes: Any) -> list[str]:
        return codes(await self.services.attributes.set(who, SetAttributes(list(lfns), **changes)))

    # ── metadata ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def declare(self, vo: str = "vo", /, **types: str | FieldSpec) -> None:
        """Fields of a VO by name: a type, or all of a spec."""
        specs = [t if isinstance(t, FieldSpec) else FieldSpec(vo, name, FieldType(t)) for name, t in types.items()]
        assert set(codes(await self.services.fields.declare(self.admin, specs))) <= {"ok", "same"}

    async def describe(self, who: Caller, items: dict[str, dict[str, Any]], **options: bool) -> list[str]:
        """Set values: {LFN: values}."""
        body = SetMetadata([NameValues(lfn, values) for lfn, values in items.items()], **options)
        return codes(await self.services.values.set(who, body))

    async def described(self, who: Caller, lfn: str) -> Described:
        """Raises what is wrong."""
        found = (await self.services.values.get(who, Names([lfn]))).outcomes[0].get()
        assert found is not None
        return found

    async def stat(self, who: Caller, lfn: str, *, follow: bool = True) -> Entry:
        """Raises what is wrong."""
        entry = (await self.services.names.stat(who, Names([lfn], follow))).outcomes[0].get()
        assert entry is not None
        return entry

    async def looks(self, who: Caller, *lfns: str) -> list[str]:
        """What a look at each name comes to."""
        return codes(await self.services.names.stat(who, Names(list(lfns))))

    async def ls(self, who: Caller, lfn: str) -> list[str]:
        """The names in a directory."""
        return [e.lfn.rpartition("/")[2] for e in (await self.services.listing.page(who, lfn)).items]

    async def tree(self, top: str = "/") -> list[str]:
        """Every path below `top`, directories with a slash at the end."""
        rows = await self.sql(
            """select case when d.path = '/' then '' else d.path end || '/' || f.name || case f.kind when 1 then '/' else '' end
                 from file f join dir d on d.id = f.dir_id where d.path like '/%' order by 1"""
        )
        return [r[0] for r in rows if top == "/" or (r[0].startswith(top + "/") and r[0] != top + "/")]

    async def resolve(self, who: Caller, lfn: str, site: str | None = None, *elements: str) -> Resolved:
        """Raises what is wrong."""
        found = (await self.services.resolver.resolve(who, Resolve([lfn], site, list(elements)))).outcomes[0].get()
        assert found is not None
        return found

    async def usage(self, lfn: str = "/") -> tuple[int, int, dict[str, tuple[int, int]]]:
        """(files, bytes, {element: (replicas, bytes)}) of a subtree, as the service counts."""
        found = (await self.services.names.usage(self.admin, Names([lfn]))).outcomes[0].get()
        assert found is not None
        return found.files, found.bytes, {n: (u.replicas, u.bytes) for n, u in found.elements.items()}

    # ── replicas and bytes ───────────────────────────────────────────────────────────────────────────────────────────

    async def add_replicas(self, who: Caller, *refs: ReplicaRef) -> list[str]:
        return codes(await self.services.changes.register(who, refs))

    async def drop(self, who: Caller, *refs: ReplicaRef, **options: bool) -> list[str]:
        return codes(await self.services.changes.drop(who, refs, **options))

    async def set_state(self, who: Caller, *refs: ReplicaRef) -> list[str]:
        return codes(await self.services.changes.set_state(who, refs))

    async def clean(self) -> None:
        """Let the cleaner do all it has to."""
        while await self.services.cleaner.step():
            pass

    def objects(self, element: str) -> list[str]:
        """PFNs of what is really on an element."""
        root = self.folder / "se" / element
        return sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file() and ".lading-" not in str(p))


def file(lfn: str, size: int = 10, *replicas: str, **more: Any) -> FileSpec:
    """A file with replicas on elements."""
    return FileSpec(lfn, size, replicas=[ReplicaSpec(se) for se in replicas], **more)


def codes(outcomes: Outcomes[Any]) -> list[str]:
    """Per item: `ok`, `same` (nothing to do), or the code of its error."""
    found = [
        "ok" if o.error is None and o.changed else "same" if o.error is None else o.error.code
        for o in outcomes.outcomes
    ]
    assert outcomes.failed == len([o for o in outcomes.outcomes if o.error])
    return found


def faults(outcomes: Outcomes[Any]) -> list[Fault]:
    return [o.error for o in outcomes.outcomes if o.error]


async def stuck(gate: asyncpg.Connection[Any], tasks: list[asyncio.Task[Any]]) -> None:
    """Until each task waits for a lock, or is done."""
    waiting = "select count(distinct pid) from pg_locks where not granted and pid <> pg_backend_pid()"
    for _ in range(1000):
        if await gate.fetchval(waiting) >= sum(not t.done() for t in tasks):
            return
        await asyncio.sleep(0.01)
    raise AssertionError("a task neither waits nor ends")
