"""chmod, chown, setfacl, comments, status: what belongs to a name and is no content."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from catalog.access import acl as acls
from catalog.access.rights import W
from lading.model import lfn
from lading.model.errors import CatalogError, Forbidden, InvalidRequest
from lading.model.file import FileStatus

from .store import DIRECTORY

if TYPE_CHECKING:
    from collections.abc import Sequence

    import asyncpg

    from catalog.access.service import AccessService
    from catalog.db import Transaction
    from lading.model.api import SetAttributes
    from lading.model.outcome import Outcomes
    from lading.model.principal import Caller, Principal

    from .service import NamespaceService
    from .tree import Tree

_STATUSES = list(FileStatus)


class _Target(NamedTuple):
    """One entry to change: its path, the id and record of its row."""

    path: str
    row: asyncpg.Record


class _Wish(NamedTuple):
    """What to change, names looked up and texts parsed."""

    mode: int | None
    owner: int | None
    group: int | None
    replace: acls.Acl | None
    set: acls.Acl
    unset: frozenset[tuple[bool, str, int]]

    @property
    def rights(self) -> bool:
        return any(v is not None for v in self[:4]) or self.set != acls.EMPTY or bool(self.unset)


class Attributes:
    def __init__(self, names: NamespaceService, tree: Tree, access: AccessService) -> None:
        self._names = names
        self._tree = tree
        self._access = access

    async def set(self, caller: Caller, body: SetAttributes) -> Outcomes[None]:
        """Change attributes of names, the same for all; safe to repeat.

        Mode and ACL need the owner, the group too and only to a group one is in; a new owner needs an administrator of
        the VO. Comments, status and metadata need the right to write. Links on the way and at the end are followed.
        """
        if body.comment is not None and "\x00" in body.comment:
            raise InvalidRequest("a comment holds no NUL")
        parsed = [acls.parse(body.acl or ()), acls.parse(body.acl_set), acls.parse([_bare(e) for e in body.acl_unset])]

        async def work(tx: Transaction, paths: list[str | CatalogError]) -> list[Any]:
            wish = await self._wish(tx, body, parsed)
            return await self._set(tx, body, paths, wish)

        return await self._names.change(caller, "attributes", body.lfns, work, dry_run=body.dry_run, wide=True)

    async def _wish(
        self, tx: Transaction, body: SetAttributes, parsed: list[list[tuple[bool, str, str, int]]]
    ) -> _Wish:
        users = {name for part in parsed for _, tag, name, _ in part if name and tag == "u"} | (
            {body.owner} if body.owner else set()
        )
        groups = {name for part in parsed for _, tag, name, _ in part if name and tag == "g"} | (
            {body.group} if body.group else set()
        )
        ids: dict[tuple[str, str], int] = {}
        for kind, names in (("u", users), ("g", groups)):
            if names:
                ids.update(
                    {(kind, n): i for n, i in (await self._access.ids(tx.connection, kind, sorted(names))).items()}
                )
        return _Wish(
            body.mode,
            ids["u", body.owner] if body.owner else None,
            ids["g", body.group] if body.group else None,
            acls.build(parsed[0], ids) if body.acl is not None else None,
            acls.build(parsed[1], ids),
            frozenset((d, tag, ids[tag, name] if name else 0) for d, tag, name, _ in parsed[2]),
        )

    async def _set(
        self, tx: Transaction, body: SetAttributes, paths: list[str | CatalogError], wish: _Wish
    ) -> list[Any]:
        entries = await self._names.locator.settle(tx, [p for p in paths if isinstance(p, str)], moving=wish.rights)
        results: list[Any] = []
        touched: list[str] = []
        plain: list[_Target] = []
        for path in paths:
            try:
                entry = entries[path] if isinstance(path, str) else path
                if isinstance(entry, CatalogError):
                    raise entry
                target = _Target(entry.path, entry.row)
                self._check(tx.caller.principal, target, body, wish)
                if entry.row["kind"] == DIRECTORY:
                    async with tx.connection.transaction():  # what is wrong below undoes this item alone
                        await self._directory(tx, body, target, wish)
                else:
                    plain.append(target)
                touched.append(entry.path)
                results.append(None)
            except CatalogError as error:
                results.append(error)
        if plain:
            await self._write(tx, plain, body, wish, {})
        said = {
            "mode": body.mode,
            "owner": body.owner,
            "group": body.group,
            "acl": body.acl,
            "acl_set": body.acl_set or None,
            "acl_unset": body.acl_unset or None,
            "status": body.status,
            "comment": body.comment,
        }
        details: dict[str, Any] = {k: v for k, v in said.items() if v is not None}
        tx.audit(touched, recursive=body.recursive, **details)
        return results

    async def _directory(self, tx: Transaction, body: SetAttributes, target: _Target, wish: _Wish) -> None:
        """A directory, and with `recursive` all below it, by pages. Raises Forbidden with part of it written."""
        own: dict[int, tuple[int, int, int, int]] = {}
        await self._write(tx, [target], body, wish, own)
        if body.recursive:
            above = {target.row["id"]: target.path}
            above |= {row["id"]: row["path"] async for row in self._names.store.subtree(tx.connection, target.path)}
            ids = sorted(above)
            for start in range(0, len(ids), 1000):
                await self._below(tx, {i: above[i] for i in ids[start : start + 1000]}, body, wish, own)
        if own:
            await self._tree.rebase(tx, target.path, own)

    async def _below(
        self,
        tx: Transaction,
        directories: dict[int, str],
        body: SetAttributes,
        wish: _Wish,
        own: dict[int, tuple[int, int, int, int]],
    ) -> None:
        after = (0, "")
        while rows := await self._names.store.children(tx.connection, list(directories), after, 5000):
            await self._names.rights.load(tx.connection, (), {r["acl_id"] for r in rows})
            targets = [_Target(lfn.join(directories[r["dir_id"]], r["name"]), r) for r in rows]
            for target in targets:
                self._check(tx.caller.principal, target, body, wish)
            await self._write(tx, targets, body, wish, own)
            after = (rows[-1]["dir_id"], rows[-1]["name"])

    def _check(self, who: Principal, target: _Target, body: SetAttributes, wish: _Wish) -> None:
        path, row = target
        rights = self._names.rights
        if wish.rights and not rights.owns(who, path, row["owner_id"]):
            raise Forbidden(f"only the owner of '{lfn.shown(path)}' changes its rights", lfn=path)
        if wish.owner not in (None, row["owner_id"]) and not who.governs(path):
            raise Forbidden("only an administrator of the VO gives files away", lfn=path)
        if wish.group not in (None, row["group_id"], *who.groups) and not who.governs(path):
            raise Forbidden("you are not in that group", lfn=path)
        others = body.comment is not None or body.status is not None
        if others and not rights.entry(who, path, row["owner_id"], row["group_id"], row["mode"], row["acl_id"]) & W:
            raise Forbidden(f"you may not change '{lfn.shown(path)}'", lfn=path)

    async def _write(
        self,
        tx: Transaction,
        targets: Sequence[_Target],
        body: SetAttributes,
        wish: _Wish,
        own: dict[int, tuple[int, int, int, int]],
    ) -> None:
        rows = []
        memo: dict[tuple[int, bool, int], int] = {}
        for _, row in targets:
            directory = row["kind"] == DIRECTORY
            mode = row["mode"] if wish.mode is None else wish.mode
            key = (row["acl_id"] or 0, directory, mode)
            if key not in memo:
                memo[key] = await self._acl(tx, wish, *key)
            owner = row["owner_id"] if wish.owner is None else wish.owner
            group = row["group_id"] if wish.group is None else wish.group
            new = (row["id"], mode, owner, group, memo[key])
            rows.append(new)
            if directory and (mode, owner, group, memo[key]) != (
                row["mode"],
                row["owner_id"],
                row["group_id"],
                row["acl_id"] or 0,
            ):
                own[row["id"]] = (owner, group, mode, memo[key])
        status = _STATUSES.index(body.status) if body.status is not None else None
        await self._names.store.set_attributes(tx.connection, rows, body.comment, status)

    async def _acl(self, tx: Transaction, wish: _Wish, acl_id: int, directory: bool, mode: int) -> int:
        """The id of an ACL after the wish. Defaults are for directories alone."""
        if wish.replace is None and wish.set == acls.EMPTY and not wish.unset:
            return acl_id
        base = self._names.rights.acl(acl_id) if wish.replace is None else wish.replace
        access = {k: v for k, v in {**base.access, **wish.set.access}.items() if (False, *k) not in wish.unset}
        default = {k: v for k, v in {**base.default, **wish.set.default}.items() if (True, *k) not in wish.unset}
        given = [wish.set, wish.replace or acls.EMPTY]
        masked = {False for a in given if ("m", 0) in a.access} | {True for a in given if ("m", 0) in a.default}
        made = acls.complete(acls.Acl(access, default if directory else {}), mode, masked)
        return await self._names.rights.intern_acl(tx.connection, made)


def _bare(entry: str) -> str:
    """`user:alice:`, `user:alice`, `mask::` or `mask` as an entry with some rights, for the parser."""
    colons = entry.count(":") - entry.startswith("default:")
    return (entry.removesuffix(":") if colons > 1 else entry) + ":" * (colons < 1) + ":0"
