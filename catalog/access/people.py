"""Users, groups and VOs, for administrators."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from catalog.db import Database, Transaction
from lading.model import lfn
from lading.model.errors import Conflict, InvalidRequest, NotFound
from lading.model.outcome import Page
from lading.model.people import GroupInfo, GroupSpec, UserChange, UserInfo, UserSpec, VOInfo, VOSpec

from .rights import require_admin
from .store import PeopleStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from lading.model.principal import Caller

    from .service import AccessService

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,127}")


class PeopleService:
    """Every method but the lists is for administrators, and leaves an audit row."""

    def __init__(self, database: Database, access: AccessService) -> None:
        self._db = database
        self._access = access
        self._store = PeopleStore()

    async def _change(self, caller: Caller, action: str, work: Callable[[Transaction], Awaitable[None]]) -> None:
        require_admin(caller.principal)
        await self._db.change(caller, action, work)
        self._access.forget()

    # ── users ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def users(
        self, caller: Caller, *, names: list[str] | None = None, cursor: str | None = None, limit: int = 1000
    ) -> Page[UserInfo]:
        """Users by name. Who is no administrator sees no DN and no e-mail but their own."""
        who = caller.principal
        async with self._db.read() as connection:
            rows = await self._store.users(connection, cursor or "", names, limit)
        items = [UserInfo(**dict(r)) for r in rows]
        for item in items:
            if not who.superuser and item.name != who.name:
                item.dns, item.email = [], None
        return Page(items, items[-1].name if len(items) == limit else None)

    async def user(self, caller: Caller, name: str) -> UserInfo:
        """One user. Raises NotFound."""
        page = await self.users(caller, names=[name], limit=1)
        if not page.items:
            raise NotFound(f"there is no user '{name}': see 'lading user ls'", user=name)
        return page.items[0]

    async def add_user(self, caller: Caller, spec: UserSpec) -> UserInfo:
        """A new user. Raises Conflict when the name is taken, NotFound for a group that does not exist."""
        _check(spec.name)

        async def work(tx: Transaction) -> None:
            values = {"dns": spec.dns, "email": spec.email, "full_name": spec.full_name, "admin": spec.admin}
            user_id = await self._store.add(tx.connection, "u", spec.name, tx.at, **values)
            if user_id is None:
                raise Conflict(
                    f"there is a user '{spec.name}' already: change it with 'lading user set'", user=spec.name
                )
            groups = await self._access.ids(tx.connection, "g", spec.groups)
            await self._store.set_groups(tx.connection, user_id, list(groups.values()))
            tx.audit([spec.name], groups=spec.groups, admin=spec.admin)
            tx.notices.add("people")

        await self._change(caller, "user.add", work)
        return await self.user(caller, spec.name)

    async def change_user(self, caller: Caller, name: str, change: UserChange) -> UserInfo:
        """Change a user; safe to repeat. Raises NotFound, and Conflict for the last administrator."""

        async def work(tx: Transaction) -> None:
            if name == "admin" and (change.admin is False or change.disabled):
                raise Conflict("'admin' is the administrator of last resort and stays one")
            values = {"dns": change.dns, "email": change.email, "full_name": change.full_name}
            user_id = await self._store.change(
                tx.connection, "u", name, admin=change.admin, disabled=change.disabled, **values
            )
            if user_id is None:
                raise NotFound(f"there is no user '{name}': see 'lading user ls'", user=name)
            if change.groups is not None:
                groups = await self._access.ids(tx.connection, "g", change.groups)
                await self._store.set_groups(tx.connection, user_id, list(groups.values()))
            tx.audit([name], groups=change.groups, admin=change.admin, disabled=change.disabled)
            tx.notices.add("people")

        await self._change(caller, "user.change", work)
        return await self.user(caller, name)

    async def remove_principal(self, caller: Caller, kind: str, name: str) -> None:
        """Remove a user ('u') or group ('g') that owns nothing. Raises NotFound, Conflict (own something: disable
        instead)."""

        async def work(tx: Transaction) -> None:
            principal_id = (await self._access.ids(tx.connection, kind, [name]))[name]
            if principal_id < 100:
                raise Conflict(f"'{name}' belongs to the server itself and stays")
            if await self._store.in_use(tx.connection, principal_id):
                raise Conflict(f"'{name}' still owns files or has rights on some: disable it instead", name=name)
            await self._store.remove(tx.connection, principal_id)
            tx.audit([name])
            tx.notices.add("people")

        await self._change(caller, "user.remove" if kind == "u" else "group.remove", work)

    # ── groups ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def groups(
        self, caller: Caller, *, names: list[str] | None = None, cursor: str | None = None, limit: int = 1000
    ) -> Page[GroupInfo]:
        del caller  # the names of groups are no secret among users
        async with self._db.read() as connection:
            rows = await self._store.groups(connection, cursor or "", names, limit)
        items = [GroupInfo(**dict(r)) for r in rows]
        return Page(items, items[-1].name if len(items) == limit else None)

    async def add_group(self, caller: Caller, spec: GroupSpec) -> GroupInfo:
        """A new group. Raises Conflict when the name is taken."""
        _check(spec.name)

        async def work(tx: Transaction) -> None:
            if await self._store.add(tx.connection, "g", spec.name, tx.at, vo=spec.vo, dns=spec.fqans) is None:
                raise Conflict(f"there is a group '{spec.name}' already", group=spec.name)
            tx.audit([spec.name], vo=spec.vo)
            tx.notices.add("people")

        await self._change(caller, "group.add", work)
        return (await self.groups(caller, names=[spec.name])).items[0]

    # ── VOs ──────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def vos(self, caller: Caller) -> list[VOInfo]:
        del caller
        async with self._db.read() as connection:
            return [VOInfo(**dict(r)) for r in await self._store.vos(connection)]

    async def set_vo(self, caller: Caller, spec: VOSpec) -> VOInfo:
        """Make a VO or change it; safe to repeat. Its top-level directory is made with `mkdir`, as any other."""
        if lfn.component(spec.name) != spec.name or not spec.name:
            raise InvalidRequest("a VO is named like the top-level directory it owns")

        async def work(tx: Transaction) -> None:
            admins = await self._access.ids(tx.connection, "u", spec.admins)
            await self._store.set_vo(tx.connection, spec.name, spec.description, list(admins.values()), tx.at)
            tx.audit([spec.name], admins=spec.admins)
            tx.notices.add("people")

        await self._change(caller, "vo.set", work)
        return next(v for v in await self.vos(caller) if v.name == spec.name)

    async def remove_vo(self, caller: Caller, name: str) -> None:
        """Forget a VO and its administrators; files stay. Raises NotFound."""

        async def work(tx: Transaction) -> None:
            if not await self._store.remove_vo(tx.connection, name):
                raise NotFound(f"there is no VO '{name}': see 'lading vo ls'", vo=name)
            tx.audit([name])
            tx.notices.add("people")

        await self._change(caller, "vo.remove", work)


def _check(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise InvalidRequest(f"'{lfn.shown(name, 80)}' is not a name: letters, digits and _ . @ + - only, at most 128")
