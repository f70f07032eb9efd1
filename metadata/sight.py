"""What an asker may see, as SQL: exactly what `catalog.access.rights` says of each directory and file.

A file is found when its directory may be reached and listed (R and REACH) and the file itself be read; a directory when it
may be reached and listed. Few access rows and ACLs exist and they never change, so both are judged in Python, and PostgreSQL
compares their ids. One thing is stricter than for single files: who administers the VO `x` or a tree is not, by that alone,
shown a file of that very path.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from catalog.access.rights import REACH, R
from lading.model import lfn

from .sight_store import SightStore

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from catalog.access.acl import Acl
    from catalog.access.rights import Rights
    from catalog.db import Connection
    from lading.model.principal import Principal

    from .params import Params

_REMEMBERED = 256


class _Verdicts(NamedTuple):
    """ACLs (ids) by what they say to an asker who does not own the entry; those not named here leave it to the mode."""

    yes: list[int]
    no: list[int]
    by_group: list[int]  # only the mode's group bits can say yes
    masked: list[int]  # the mode's group bits can't


class Sight(NamedTuple):
    """One asker's. `everything`: no right is checked. `governed`: trees where none is but the scope."""

    everything: bool
    user: int
    groups: list[int]
    allowed: list[int]
    governed: list[str]
    scope: list[str] | None
    acls: _Verdicts

    def directory(self, params: Params) -> str:
        """May `d` be listed?"""
        if self.everything:
            return "true"
        may = f"d.access_id = any({params.add(self.allowed, 'int[]')})"
        if self.governed:
            may = f"({may} or {within('d.path', self.governed, params)})"
        return may if self.scope is None else f"({may} and {within('d.path', self.scope, params)})"

    def free_of_checks(self, top: str) -> bool:
        """True when every file below `top` may be read by this asker, whatever its mode."""
        if self.everything:
            return True
        inside = any(lfn.is_within(top, g) for g in self.governed)
        return inside and (self.scope is None or any(lfn.is_within(top, s) for s in self.scope))

    def file(self, params: Params, top: str = "/") -> str:
        """May `f`, in a directory `d` that may be listed and lies in `top`, be read?"""
        if self.free_of_checks(top):
            return "true"
        masked = params.add(self.acls.masked, "int[]")
        # First what everybody may read, as nearly all is: the rest is asked of few.
        may = f"""f.acl_id is null and f.mode & 292 = 292 or case when f.owner_id = {params.add(self.user, "int")} then f.mode & 256 <> 0
            when f.acl_id = any({params.add(self.acls.yes, "int[]")}) then true
            when f.acl_id = any({params.add(self.acls.no, "int[]")}) then false
            when f.group_id = any({params.add(self.groups, "int[]")}) then f.mode & 32 <> 0 and (f.acl_id = any({masked})) is not true
            when f.acl_id = any({params.add(self.acls.by_group, "int[]")}) then false
            else f.mode & 4 <> 0 end"""
        return f"({may} or {within('d.path', self.governed, params)})" if self.governed else f"({may})"


def within(path: str, tops: Iterable[str], params: Params) -> str:
    """SQL: is `path` one of `tops`, or below one?"""
    parts = []
    for top in tops:
        if top == "/":
            return "true"
        low, high = params.add(top + "/", "text"), params.add(top + "0", "text")  # '0' follows '/'
        parts.append(f"{path} = {params.add(top, 'text')} or ({path} >= {low} and {path} < {high})")
    return f"({' or '.join(parts)})" if parts else "false"


class Sights:
    """Works sights out, and remembers the latest askers'."""

    def __init__(self, rights: Rights) -> None:
        self._rights = rights
        self._store = SightStore()
        self._access: list[int] = []
        self._acls: list[int] = []
        self._known: dict[Principal, Sight] = {}

    async def of(self, connection: Connection, who: Principal) -> Sight:
        """What `who` may see now."""
        if who.superuser:
            return Sight(True, who.id, [], [], [], None, _Verdicts([], [], [], []))
        counts = await self._store.counts(connection)
        if counts != (len(self._access), len(self._acls)):
            access, acls = await self._store.ids(connection)
            await self._rights.load(connection, access, acls)
            self._access, self._acls, self._known = access, acls, {}
        if who not in self._known:
            if len(self._known) >= _REMEMBERED:
                self._known = {}
            self._known[who] = self._work_out(who)
        return self._known[who]

    def _work_out(self, who: Principal) -> Sight:
        wanted = R | REACH
        allowed = [i for i in self._access if self._rights.unscoped(who, i) & wanted == wanted]
        scope = [top for s, top in who.scopes if s == "read"] if who.narrowed else None
        acls = _verdicts(who, ((i, self._rights.acl(i)) for i in self._acls))
        return Sight(False, who.id, list(who.groups), allowed, _governed(who), scope, acls)


def _governed(who: Principal) -> list[str]:
    tops = [top for scope, top in who.scopes if scope == "admin"]
    if who.admin:
        return tops
    vos = sorted(who.vos)
    return [
        g for top in tops for g in ([f"/{v}" for v in vos] if top == "/" else [top] if lfn.vo(top) in who.vos else [])
    ]


def _verdicts(who: Principal, acls: Iterable[tuple[int, Acl]]) -> _Verdicts:
    """As `acl.bits` judges, for R."""
    found = _Verdicts([], [], [], [])
    for acl_id, acl in acls:
        mask = bool(acl.access.get(("m", 0), 7) & R)
        named = acl.access.get(("u", who.id))
        entries: Sequence[int] = [acl.access["g", g] for g in who.groups if ("g", g) in acl.access]
        if named is not None:
            (found.yes if mask and named & R else found.no).append(acl_id)
        elif not mask:
            (found.no if entries else found.masked).append(acl_id)
        elif entries:
            (found.yes if any(e & R for e in entries) else found.by_group).append(acl_id)
    return found
