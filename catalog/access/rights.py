"""Who may do what where: POSIX modes and ACLs, worked out once per principal and remembered.

A directory's `access_id` names all it takes to reach and use it (its own row and those of the directories above, see
`migrations/schema/0001_initial.sql`). Few distinct ones exist and their rows never change, so a check of a thousand
files is a thousand look-ups in a dict.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from lading.model.errors import Forbidden

from . import acl as acls
from .store import RightsStore

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from catalog.db import Connection
    from lading.model.principal import Principal

R, W, X, REACH = 4, 2, 1, 8
"""Rights on a directory: list, change, use, and REACH: use of it and of every directory above."""


class Access(NamedTuple):
    """A row of `access`: a directory's own owner, group, mode and ACL, and the id of the row above (0 at the root)."""

    parent: int
    owner: int
    group: int
    mode: int
    acl: int


class Rights:
    """The interned ACLs and access rows, and the checks on them. Safe to share between tasks."""

    def __init__(self) -> None:
        self._store = RightsStore()
        self._acls: dict[int, acls.Acl] = {0: acls.EMPTY}
        self._acl_ids: dict[str, int] = {"": 0}
        self._access: dict[int, Access] = {}
        self._access_ids: dict[Access, int] = {}

    # ── loading and interning ────────────────────────────────────────────────────────────────────────────────────────

    async def load(self, connection: Connection, access_ids: Iterable[int], acl_ids: Iterable[int | None] = ()) -> None:
        """Make the given rows known. Free when they are, which is nearly always."""
        missing = [i for i in set(access_ids) if i not in self._access]
        if missing:
            for row_id, *row in await self._store.access_chains(connection, missing):
                self._access[row_id] = Access(*row)
                self._access_ids[Access(*row)] = row_id
        wanted = {i for i in acl_ids if i} | {self._access[i].acl for i in missing if i in self._access}
        wanted |= {a.acl for a in self._access.values()} if missing else set()
        unknown = [i for i in wanted if i not in self._acls]
        if unknown:
            for row_id, entries in await self._store.acls(connection, unknown):
                self._acls[row_id] = acls.load(entries)
                self._acl_ids[entries] = row_id

    def acl(self, acl_id: int | None) -> acls.Acl:
        """A loaded ACL."""
        return self._acls[acl_id or 0]

    def access(self, access_id: int) -> Access:
        """A loaded access row."""
        return self._access[access_id]

    async def intern_acl(self, connection: Connection, acl: acls.Acl) -> int:
        """The id of an ACL, stored if new; 0 for the empty one."""
        text = acl.text()
        if text not in self._acl_ids:
            row_id = await self._store.intern_acl(connection, text)
            # Remembered only under its id: were the transaction rolled back, the text would have to be stored again.
            self._acls[row_id] = acl
            return row_id
        return self._acl_ids[text]

    async def intern_access(self, connection: Connection, rows: Sequence[Access]) -> list[int]:
        """The ids of access rows, stored if new, in order."""
        missing = sorted({r for r in rows if r not in self._access_ids})
        found: dict[Access, int] = {}
        if missing:
            for row_id, *row in await self._store.intern_access(connection, missing):
                found[Access(*row)] = row_id
                self._access[row_id] = Access(*row)
        return [found[r] if r in found else self._access_ids[r] for r in rows]

    # ── checks ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def directory(self, who: Principal, access_id: int, path: str) -> int:
        """The rights (R W X REACH) that `who` has on the directory at `path`. Its access row must be loaded."""
        bits = self.unscoped(who, access_id)
        if bits != 15 and (who.vos or who.admin) and who.governs(path):
            bits = 15
        return bits & _scope(who, path) if who.narrowed else bits

    def unscoped(self, who: Principal, access_id: int) -> int:
        """The part of `directory` that depends on no path: what modes and ACLs say, VOs and scopes left out."""
        bits = who.directory_memo.get(access_id)
        if bits is None:
            bits = who.directory_memo[access_id] = self._directory(who, access_id)
        return bits

    def _directory(self, who: Principal, access_id: int) -> int:
        if who.superuser:
            return 15
        row = self._access[access_id]
        bits = acls.bits(row.mode, row.owner, row.group, self._acls[row.acl], who.id, who.groups)
        if not bits & X:
            return bits
        return bits | REACH if row.parent == 0 or self._directory(who, row.parent) & REACH else bits

    def entry(self, who: Principal, path: str, owner: int, group: int, mode: int, acl_id: int | None) -> int:
        """The rights (R W X) that `who` has on a file or link itself. Its ACL must be loaded."""
        key = (owner, group, mode, acl_id or 0)
        bits = who.entry_memo.get(key)
        if bits is None:
            bits = 7 if who.superuser else acls.bits(mode, owner, group, self._acls[acl_id or 0], who.id, who.groups)
            who.entry_memo[key] = bits
        if bits != 7 and (who.vos or who.admin) and who.governs(path):
            bits = 7
        return bits & _scope(who, path) if who.narrowed else bits

    def owns(self, who: Principal, path: str, owner: int) -> bool:
        """True when `who` may change the rights of an entry: its owner, its VO's administrator, the server's."""
        if who.narrowed and not who.scoped("write", path) and not who.scoped("admin", path):
            return False
        return who.id == owner or who.governs(path)

    def may_unlink(self, who: Principal, directory: str, access_id: int, owner: int) -> bool:
        """The sticky bit: in such a directory only the owners of the entry and of the directory take it away."""
        row = self._access[access_id]
        return not row.mode & 0o1000 or who.id in (owner, row.owner) or who.governs(directory)


def _scope(who: Principal, path: str) -> int:
    return (R | X | REACH if who.scoped("read", path) else 0) | (W | X | REACH if who.scoped("write", path) else 0)


def require_admin(who: Principal) -> None:
    """Raises Forbidden unless `who` administers the server."""
    if not who.superuser:
        raise Forbidden("this is for administrators of the server: ask one, or use a token with the 'admin' scope")


def require_governor(who: Principal, lfn: str) -> None:
    """Raises Forbidden unless `who` administers the VO of `lfn`, or the server."""
    if not who.governs(lfn):
        raise Forbidden(f"this is for administrators of {lfn}: ask one, or use a token with the 'admin' scope", lfn=lfn)
