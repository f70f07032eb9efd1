"""SQL of people and elements: what lading knows, and the rows an import adds."""

from __future__ import annotations

from collections.abc import Sequence

from catalog.db import now

from .maps import same_dn, same_fqan
from .parties import Party
from .stage_store import Connection


class PartiesStore:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def staged(self, table: str) -> list[tuple[int, str, int]]:
        """(id, DN or FQAN, banned) of the source's people: `s_user` or `s_group`."""
        rows = await self._connection.fetch(f"select id, name, banned from {table} order by id")
        return [tuple(r) for r in rows]

    _MISSING = """select distinct n.value::bigint as id from s_note n where n.kind = 'entry' and n.code = $1"""

    async def missing(self, code: str) -> set[int]:
        """Ids that entries name and no row explains."""
        return {r["id"] for r in await self._connection.fetch(self._MISSING, code)}

    async def acls(self) -> list[tuple[str, int]]:
        """(text, number of entries) of the distinct ACLs."""
        rows = await self._connection.fetch("select acl, count(*) as n from s_entry where acl is not null group by 1")
        return [(r["acl"], r["n"]) for r in rows]

    _UNKNOWN_IN_ACL = "insert into s_note(kind, id, code, value) select 'entry', id, 'acl_unknown_id', acl from s_entry where acl = any($1::text[])"

    async def note_acls(self, texts: Sequence[str]) -> None:
        """These ACLs name somebody nobody knows."""
        await self._connection.execute(self._UNKNOWN_IN_ACL, texts)

    _KNOWN = """select name, placeholder, unnest(dns) as dn from principal where kind = $1::"char" order by placeholder desc"""

    async def known(self, kind: str) -> dict[str, tuple[str, bool]]:
        """DN (FQAN), in its one form -> (the principal that has it, is that a placeholder)."""
        same = same_dn if kind == "u" else same_fqan
        rows = await self._connection.fetch(self._KNOWN, kind.encode())
        return {same(r["dn"]): (r["name"], r["placeholder"]) for r in rows}

    async def elements(self) -> list[str]:
        """The elements somebody has set up."""
        return [r["name"] for r in await self._connection.fetch("select name from element where not placeholder")]

    _PEOPLE = """
with t as (select * from unnest($1::"char"[], $2::text[], $3::text[], $4::bool[], $5::bool[], $6::text[]) t(kind, name, dn, placeholder, banned, vo)),
 g as (select kind, name, bool_and(placeholder) as placeholder, bool_and(banned) as banned, max(vo) as vo,
    coalesce(array_agg(distinct dn) filter (where dn is not null), '{}') as dns from t group by 1, 2)
insert into principal as p(kind, name, dns, placeholder, disabled, vo, ctime) select kind, name, dns, placeholder, banned, vo, $7 from g order by kind, name
on conflict on constraint principal_kind_name_key do update
   set dns = p.dns || array(select d from unnest(excluded.dns) d where d <> all(p.dns) order by d), vo = coalesce(p.vo, excluded.vo)
 where not p.dns @> excluded.dns or (p.vo is null and excluded.vo is not null)"""
    _VOS = "insert into vo(name, ctime) select v, $2 from unnest($1::text[]) v on conflict (name) do nothing"
    _PARTY = """create unlogged table s_party with (autovacuum_enabled = off) as
        select t.kind, t.id, p.id as principal_id from s_known t join principal p on p.kind = t.kind::"char" and p.name = t.name"""
    _REMEMBER = """insert into import_principal(source_id, kind, legacy_id, principal_id)
        select (select source_id from s_self), kind::"char", id, principal_id from s_party
        on conflict (source_id, kind, legacy_id) do update set principal_id = excluded.principal_id
          where import_principal.principal_id <> excluded.principal_id"""

    async def add_people(self, parties: Sequence[Party]) -> None:
        """Make the principals and VOs that are missing, add DNs to those that exist. Safe to repeat."""
        fresh = [p for p in parties if p.how != "root"]
        vos = {p.legacy_id: p.given.split("/")[1] for p in fresh if p.kind == "g" and p.given and len(p.given) > 1}
        await self._connection.execute(
            self._PEOPLE,
            [p.kind.encode() for p in fresh],
            [p.name for p in fresh],
            [p.given for p in fresh],
            [p.how == "placeholder" for p in fresh],
            [p.banned for p in fresh],
            [vos.get(p.legacy_id) if p.kind == "g" else None for p in fresh],
            now(),
        )
        await self._connection.execute(self._VOS, sorted(set(vos.values())), now())
        await self._connection.execute("drop table if exists s_known, s_party")
        await self._connection.execute("create unlogged table s_known(kind text, id bigint, name text)")
        await self._connection.copy_records_to_table(
            "s_known", records=[(p.kind, p.legacy_id, p.name) for p in parties]
        )
        await self._connection.execute(self._PARTY)
        await self._connection.execute(self._REMEMBER)

    async def principals(self) -> dict[tuple[str, int], int]:
        """('u' or 'g', legacy id) -> principal."""
        return {
            (r["kind"], r["id"]): r["principal_id"]
            for r in await self._connection.fetch("select kind, id, principal_id from s_party")
        }

    # An element that nobody has set up is only a name: off, and of a type that no plug-in serves.
    _ELEMENTS = """insert into element(name, type, state, placeholder, description, ctime, mtime)
        select name, 'none', 'off', true, 'Made by an import: its replicas are known, and can''t be read yet.', $1, $1
          from s_element order by name on conflict on constraint element_name_key do nothing"""

    async def add_elements(self) -> None:
        """Make the elements that are missing; `s_element` learns all their ids. Safe to repeat."""
        await self._connection.execute(self._ELEMENTS, now())
        await self._connection.execute("update s_element s set element_id = e.id from element e where e.name = s.name")

    async def set_acls(self, texts: Sequence[tuple[str, str]]) -> None:
        """(the source's text, lading's text) of ACLs: interned, and known to the plan as `s_acl`. Safe to repeat."""
        await self._connection.execute(
            "drop table if exists s_acl; create unlogged table s_acl(text text primary key, acl_id int, entries text)"
        )
        await self._connection.copy_records_to_table("s_acl", records=[(t, None, e) for t, e in texts])
        await self._connection.execute(
            "insert into acl(entries) select distinct entries from s_acl where entries <> '' on conflict (entries) do nothing"
        )
        await self._connection.execute("update s_acl s set acl_id = a.id from acl a where a.entries = s.entries")
