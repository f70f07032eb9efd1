"""SQL of people and rights: principals, groups, VOs, tokens, ACLs, access rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import asyncpg

    from catalog.db import Connection

    Rows = Sequence[asyncpg.Record]


class RightsStore:
    """Interned rows: written once, never changed."""

    _CHAINS = """with recursive c as (
        select * from access where id = any($1::int[])
        union select a.* from c join access a on a.id = c.parent_id)
        select id, parent_id, owner_id, group_id, mode, acl_id from c"""

    async def access_chains(self, connection: Connection, ids: Sequence[int]) -> Rows:
        """(id, parent, owner, group, mode, acl) of the rows and of all above them."""
        return await connection.fetch(self._CHAINS, ids)

    async def acls(self, connection: Connection, ids: Sequence[int]) -> Rows:
        """(id, text) of ACLs."""
        return await connection.fetch("select id, entries from acl where id = any($1::int[])", ids)

    _INTERN_ACL = "insert into acl(entries) values ($1) on conflict (entries) do update set entries = excluded.entries returning id"

    async def intern_acl(self, connection: Connection, text: str) -> int:
        found = await connection.fetchval("select id from acl where entries = $1", text)
        return int(found or await connection.fetchval(self._INTERN_ACL, text))

    _INTERN_ACCESS = """insert into access(parent_id, owner_id, group_id, mode, acl_id)
        select * from unnest($1::int[], $2::int[], $3::int[], $4::smallint[], $5::int[])
        on conflict on constraint access_key do nothing"""
    _FIND_ACCESS = """select a.id, a.parent_id, a.owner_id, a.group_id, a.mode, a.acl_id
        from unnest($1::int[], $2::int[], $3::int[], $4::smallint[], $5::int[]) u(p, o, g, m, l)
        join access a on (a.parent_id, a.owner_id, a.group_id, a.mode, a.acl_id) = (u.p, u.o, u.g, u.m, u.l)"""

    async def intern_access(self, connection: Connection, rows: Sequence[tuple[int, ...]]) -> Rows:
        """(id, parent, owner, group, mode, acl) of the given rows, made where they are new."""
        columns = [list(c) for c in zip(*rows, strict=True)]
        found = await connection.fetch(self._FIND_ACCESS, *columns)
        if len(found) == len(rows):
            return found
        await connection.execute(self._INTERN_ACCESS, *columns)
        return await connection.fetch(self._FIND_ACCESS, *columns)


class PeopleStore:
    """Principals and what belongs to them. A group is a principal of kind 'g'."""

    _PRINCIPAL = """select p.id, p.name, p.admin, p.disabled,
        array(select group_id from membership m where m.user_id = p.id order by group_id) as groups,
        array(select vo from vo_admin a where a.user_id = p.id) as vos
        from principal p where p.id = $1 and p.kind = 'u'"""

    async def principal(self, connection: Connection, user_id: int) -> asyncpg.Record | None:
        return await connection.fetchrow(self._PRINCIPAL, user_id)

    async def ids(self, connection: Connection, kind: str, names: Sequence[str]) -> dict[str, int]:
        """name -> id of those that exist."""
        rows = await connection.fetch(
            'select name, id from principal where kind = $1::"char" and name = any($2::text[])',
            kind.encode(),
            names,
        )
        return {r["name"]: r["id"] for r in rows}

    async def all_names(self, connection: Connection) -> dict[int, str]:
        """id -> name of every user and group: thousands, not millions."""
        return {r["id"]: r["name"] for r in await connection.fetch("select id, name from principal")}

    _USERS = """select p.name, p.dns, p.email, p.full_name, p.admin, p.disabled, p.placeholder,
        array(select g.name from membership m join principal g on g.id = m.group_id where m.user_id = p.id order by 1) as groups,
        array(select vo from vo_admin a where a.user_id = p.id order by 1) as administers
        from principal p where p.kind = 'u' and p.name > $1 and ($2::text[] is null or p.name = any($2)) order by p.name limit $3"""

    async def users(self, connection: Connection, after: str, names: Sequence[str] | None, limit: int) -> Rows:
        return await connection.fetch(self._USERS, after, names, limit)

    _GROUPS = """select p.name, p.vo, p.dns as fqans, p.placeholder,
        (select count(*) from membership m where m.group_id = p.id)::int as members
        from principal p where p.kind = 'g' and p.name > $1 and ($2::text[] is null or p.name = any($2)) order by p.name limit $3"""

    async def groups(self, connection: Connection, after: str, names: Sequence[str] | None, limit: int) -> Rows:
        return await connection.fetch(self._GROUPS, after, names, limit)

    _ADD = """insert into principal(kind, name, vo, dns, email, full_name, admin, ctime)
        values ($1::"char", $2, $3, $4, $5, $6, $7, $8) on conflict on constraint principal_kind_name_key do nothing returning id"""

    async def add(self, connection: Connection, kind: str, name: str, at: int, **values: Any) -> int | None:
        """The new id, or None when the name is taken."""
        get = values.get
        return await connection.fetchval(
            self._ADD,
            kind.encode(),
            name,
            get("vo"),
            get("dns") or [],
            get("email"),
            get("full_name"),
            bool(get("admin")),
            at,
        )

    _CHANGE = """update principal set dns = coalesce($3, dns), email = coalesce($4, email), full_name = coalesce($5, full_name),
        admin = coalesce($6, admin), disabled = coalesce($7, disabled), vo = coalesce($8, vo)
        where kind = $1::"char" and name = $2 returning id"""

    async def change(self, connection: Connection, kind: str, name: str, **values: Any) -> int | None:
        get = values.get
        return await connection.fetchval(
            self._CHANGE,
            kind.encode(),
            name,
            get("dns"),
            get("email"),
            get("full_name"),
            get("admin"),
            get("disabled"),
            get("vo"),
        )

    async def set_groups(self, connection: Connection, user_id: int, group_ids: Sequence[int]) -> None:
        await connection.execute(
            "delete from membership where user_id = $1 and group_id <> all($2::int[])", user_id, group_ids
        )
        await connection.execute(
            "insert into membership select $1, unnest($2::int[]) on conflict do nothing", user_id, group_ids
        )

    _IN_USE = """select exists(select from file where owner_id = $1 or group_id = $1 or acl_id = any(array(
        select id from acl where entries ~ ('(^|,)d?[ug][0-7]:' || $1 || '(,|$)'))))"""

    async def in_use(self, connection: Connection, principal_id: int) -> bool:
        """True when an entry (in the trash too) is this principal's or its ACL names them. Looks at every entry."""
        return bool(await connection.fetchval(self._IN_USE, principal_id))

    async def remove(self, connection: Connection, principal_id: int) -> None:
        await connection.execute("delete from principal where id = $1", principal_id)

    # ── VOs ──────────────────────────────────────────────────────────────────────────────────────────────────────────

    _VOS = """select v.name, v.description,
        array(select p.name from vo_admin a join principal p on p.id = a.user_id where a.vo = v.name order by 1) as admins
        from vo v order by v.name"""

    async def vos(self, connection: Connection) -> Rows:
        return await connection.fetch(self._VOS)

    _SET_VO = "insert into vo(name, description, ctime) values ($1, $2, $3) on conflict (name) do update set description = excluded.description"

    async def set_vo(self, connection: Connection, name: str, description: str, admins: Sequence[int], at: int) -> None:
        await connection.execute(self._SET_VO, name, description, at)
        await connection.execute("delete from vo_admin where vo = $1 and user_id <> all($2::int[])", name, admins)
        await connection.execute(
            "insert into vo_admin select $1, unnest($2::int[]) on conflict do nothing", name, admins
        )

    async def remove_vo(self, connection: Connection, name: str) -> bool:
        return await connection.execute("delete from vo where name = $1", name) == "DELETE 1"

    # ── tokens ───────────────────────────────────────────────────────────────────────────────────────────────────────

    _TOKEN = "update token set last_used = $2 where hash = $1 and expires > $2 returning user_id, scopes, expires"  # noqa: S105 - SQL

    async def use_token(self, connection: Connection, digest: bytes, at: int) -> asyncpg.Record | None:
        """(user_id, scopes, expires) of a token that is good now; the use is noted."""
        return await connection.fetchrow(self._TOKEN, digest, at)

    async def add_token(self, connection: Connection, *values: Any) -> None:
        statement = (
            "insert into token(id, hash, user_id, name, scopes, created, expires) values ($1, $2, $3, $4, $5, $6, $7)"
        )
        await connection.execute(statement, *values)

    _TOKENS = """select t.id::text as id, p.name as user, t.scopes, t.name, t.created, t.expires, t.last_used
        from token t join principal p on p.id = t.user_id where ($1::int is null or t.user_id = $1) order by t.created, t.id"""

    async def tokens(self, connection: Connection, user_id: int | None) -> Rows:
        return await connection.fetch(self._TOKENS, user_id)

    async def remove_token(self, connection: Connection, token_id: str, user_id: int | None) -> str | None:
        """The name of the token's user, or None when there is no such token (of that user)."""
        statement = "delete from token t using principal p where p.id = t.user_id and t.id = $1 and ($2::int is null or user_id = $2) returning p.name"
        return await connection.fetchval(statement, token_id, user_id)

    # ── audit ────────────────────────────────────────────────────────────────────────────────────────────────────────

    _AUDIT = """select a.id, a.at, coalesce(p.name, a.user_id::text) as user, a.action, a.count, a.targets, a.details, a.origin, a.request_id
        from audit a left join principal p on p.id = a.user_id
        where a.id < $1 and ($2::int is null or a.user_id = $2) and ($3::text is null or a.action = $3) and a.at >= $4
        order by a.id desc limit $5"""

    async def audit(
        self,
        connection: Connection,
        before: int,
        user_id: int | None,
        action: str | None,
        since: int,
        limit: int,
    ) -> Rows:
        return await connection.fetch(self._AUDIT, before, user_id, action, since, limit)
