"""From a text and an asker to a `Prepared`: fields of the VOs in play, people, elements, rights, relations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from catalog.access.rights import REACH
from catalog.namespace.locate import unreachable
from lading.model import lfn
from lading.model.errors import CatalogError, InvalidRequest
from lading.model.field import Field, IndexState
from lading.model.file import Kind

from .compile import Names
from .compile_shown import Column
from .language.bind import bind
from .language.errors import QueryError
from .language.parse import parse
from .language.tree import Bound, Op, Related, Relation, Test
from .nesting import Nesting
from .normal import conjuncts, leaves
from .params import Params
from .prepared import Prepared
from .relations import provenance
from .sight import Sights
from .sight_store import SightStore

if TYPE_CHECKING:
    from collections.abc import Mapping

    from catalog.access.service import AccessService
    from catalog.db import Connection
    from catalog.elements.service import ElementsService
    from catalog.namespace.locate import Directory
    from catalog.namespace.service import NamespaceService
    from lading.model.principal import Caller, Principal

    from .compile import Clause
    from .known import Known
    from .language.tree import Node
    from .sight import Sight


class Members(Protocol):
    """What knows data sets: answers for `in dataset` and `in snapshot`."""

    async def clause(
        self, connection: Connection, caller: Caller, relation: Relation, name: str, nesting: Nesting
    ) -> Clause:
        """SQL: is `f` (in directory `f.dir_id`) in it? Raises NotFound, Forbidden."""
        ...


class Preparer:
    """`members` is set by whoever has data sets."""

    def __init__(self, names: NamespaceService, access: AccessService, elements: ElementsService, known: Known) -> None:
        self._names = names
        self._access = access
        self._elements = elements
        self._known = known
        self._sights = Sights(access.rights)
        self._people_store = SightStore()
        self._names_of: object = None
        self._users: dict[int, str] = {}
        self._groups: dict[int, str] = {}
        self.members: Members | None = None

    async def prepare(
        self,
        connection: Connection,
        caller: Caller,
        query: str | Node,
        under: str = "/",
        kind: Kind = Kind.FILE,
        *,
        nesting: Nesting | None = None,
    ) -> Prepared:
        """The question `query` (text, or a tree that is not bound) about what lies in `under` or below.

        `nesting`: it is asked as part of another.

        Raises QueryError (an InvalidRequest) for what is no query, NotFound and Forbidden for `under`.
        """
        if kind is Kind.LINK:
            raise InvalidRequest("links are not searched: kind is 'file' or 'directory'")
        tree = parse(query) if isinstance(query, str) else query
        top = await self._top(connection, caller, under)
        fields = await self.fields(connection, top)
        undeclared = await self.undeclared(connection, top)
        terms = conjuncts(bind(tree, fields, undeclared=undeclared))
        related = {
            leaf: await self._clause(connection, caller, leaf, nesting or Nesting())
            for term in terms
            for leaf in leaves(term)
            if isinstance(leaf, Related)
        }
        sight = await self.sight(connection, caller)
        people = await self._people(connection)
        asked = Prepared(terms, top, kind is Kind.DIRECTORY, sight, people, fields, related, undeclared)
        asked.of_all(Params())  # is every name in it known?
        return asked

    async def sight(self, connection: Connection, caller: Caller) -> Sight:
        """What the caller may see."""
        return await self._sights.of(connection, caller.principal)

    def column(self, prepared: Prepared, name: str) -> Column:
        """A field to select or to sort by. Raises QueryError for one that there is not."""
        bound = bind(Test(name, (), Op.EXISTS, ()), prepared.fields, undeclared=prepared.undeclared)
        assert isinstance(bound, Bound)
        return Column(name, bound)

    async def _top(self, connection: Connection, caller: Caller, text: str) -> str:
        await self._names.ready(connection)
        path = self._names.locator.true_name(text)
        found = (await self._names.locator.directories(connection, caller.principal, [path]))[path]
        if isinstance(found, CatalogError):
            raise found
        if not self._reaches(caller.principal, found):
            raise unreachable(path)
        return found.path

    def _reaches(self, who: Principal, found: Directory) -> bool:
        """A narrowed token may start above what it is narrowed to: the search is held against each directory."""
        if who.narrowed and not any(
            s == "read" and (lfn.is_within(top, found.path) or lfn.is_within(found.path, top)) for s, top in who.scopes
        ):
            return False
        if self._names.rights.unscoped(who, found.access_id) & REACH or who.governs(found.path):
            return True
        return any(s == "admin" and lfn.is_within(top, found.path) and who.governs(top) for s, top in who.scopes)

    async def fields(self, connection: Connection, top: str) -> Mapping[str, Field]:
        """The fields that files below `top` may have, by name."""
        every = (await self._known.at(connection)).fields
        vo = lfn.vo(top)
        return every.get(vo, {}) if vo else _merged(every)

    async def undeclared(self, connection: Connection, top: str) -> bool:
        """May files below `top` have keys that no field declares?"""
        trees = (await self._known.at(connection)).trees
        return any(lfn.is_within(tree, top) or lfn.is_within(top, tree) for tree in trees)

    async def _people(self, connection: Connection) -> Names:
        """The two of people are made again when `AccessService` has read their names again."""
        people = await self._access.names(connection)
        if people is not self._names_of:
            groups = await self._people_store.groups(connection)
            self._users = {i: n for i, n in people.items() if i not in groups}
            self._groups = {i: n for i, n in people.items() if i in groups or not i}
            self._names_of = people
        await self._elements.ready(connection)
        return Names(self._users, self._groups, {e.id: e.name for e in self._elements.every()})

    async def _clause(self, connection: Connection, caller: Caller, leaf: Related, nesting: Nesting) -> Clause:
        if leaf.relation in (Relation.ANCESTOR, Relation.DESCENDANT):
            found = (await self._names.find(connection, caller, [leaf.target]))[0]
            if isinstance(found, CatalogError):
                raise found
            return provenance(found.row["id"], ancestors=leaf.relation is Relation.ANCESTOR)
        if self.members is None:
            raise QueryError("this server has no data sets", leaf.at)
        try:
            return await self.members.clause(connection, caller, leaf.relation, leaf.target, nesting)
        except QueryError:
            raise
        except InvalidRequest as error:
            raise QueryError(error.message, leaf.at) from None


class _Merged(dict[str, Field]):
    """The fields of several VOs. A name that two of them declare with different types can't be asked for here."""

    def __init__(self) -> None:
        super().__init__()
        self.disputed: dict[str, list[str]] = {}

    def get(self, name: str, default: Field | None = None) -> Field | None:  # type: ignore[override]  # dict's takes any default
        if name in self.disputed:
            vos = self.disputed[name]
            told = " and ".join(f"/{v}" for v in vos[:2])
            raise QueryError(f"'{name}' has different types in {told}: say which is meant with --under /{vos[0]}")
        return super().get(name, default)


def _merged(every: Mapping[str, Mapping[str, Field]]) -> _Merged:
    merged = _Merged()
    for vo in sorted(every):
        for name, field in every[vo].items():
            known = merged.get(name) if name not in merged.disputed else None
            if name in merged.disputed or (known is not None and known.type is not field.type):
                merged.disputed.setdefault(name, [known.vo] if known else []).append(vo)
                merged.pop(name, None)
            else:
                merged[name] = field if known is None else _both(known, field)
    return merged


def _both(one: Field, two: Field) -> Field:
    """One field to compile for: set where either is, indexed when either is (the indexes are alike)."""
    ready = IndexState.READY in (one.index_state, two.index_state)
    return Field(
        one.vo,
        one.name,
        one.type,
        one.unit,
        on_files=one.on_files or two.on_files,
        on_dirs=one.on_dirs or two.on_dirs,
        index_state=IndexState.READY if ready else one.index_state,
    )
