"""A question that can be asked: bound, with what its asker may see; and the SQL of its parts."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from lading.model.field import FieldType, IndexState

from .clock import Clock
from .compile import Compiler
from .compile_halves import INDEXED, Halves, halves, holders
from .language.tree import Always, And, Bound, Op, Related
from .nesting import MemberClause
from .normal import leaves, of_directory
from .places import place, ranges
from .standard import StandardField

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lading.model.field import Field

    from .compile import Clause, Names
    from .language.tree import Node
    from .params import Params
    from .places import Place, Range
    from .sight import Sight


@dataclass(slots=True)
class Prepared:
    """One question of one asker, for as long as it is being answered. Terms must all hold; `directory_terms` can be
    answered of a directory without its files. `where` None: nothing can match. `parts` are questions that have all the
    answers between them and none twice: where files are looked at, each is asked by itself. `gate` is what a part asks
    of directories beyond what the whole does."""

    terms: Sequence[Node]
    under: str
    directories: bool
    sight: Sight
    names: Names
    fields: Mapping[str, Field]
    related: Mapping[Related, Clause]
    undeclared: bool = False
    gate: Sequence[Node] = ()
    clock: Clock = field(default_factory=Clock)
    where: Place | None = field(init=False)
    directory_terms: list[Node] = field(init=False)
    file_terms: list[Node] = field(init=False)
    halves: Halves | None = field(init=False, default=None)
    parts: list[Prepared] = field(init=False)

    def __post_init__(self) -> None:
        self.where = (
            None if Always(False) in self.terms else place(self.under, self.terms, directories=self.directories)
        )
        self.directory_terms = [t for t in self.terms if self.directories or of_directory(t)]
        self.file_terms = [] if self.directories else [t for t in self.terms if not of_directory(t)]
        self.parts = [self]
        if not self.directories and not self.indexed():
            self.halves = halves(self.file_terms)
        if self.halves is not None and not self.gate:
            whole, own, inherited, bare = self.halves
            rest = [t for t in self.terms if t is not whole]
            self.parts = [replace(self, terms=[*rest, own])]
            self.parts += [replace(self, terms=[*rest, inherited, bare], gate=[inherited])]

    def ranges(self, after: str = "") -> list[Range]:
        """Of paths of `d`, in order."""
        return [] if self.where is None else ranges(self.where, after)

    def _condition(self, terms: Sequence[Node], params: Params) -> str:
        compiler = Compiler(params, self.names, directories=self.directories, related=self.related)
        return " and ".join(compiler.condition(t) for t in terms) or "true"

    def of_directories(self, params: Params) -> str:
        """SQL: may `d` be listed, and do the terms about directories hold? For a search of directories that is all."""
        return (
            f"{self.sight.directory(params)} and {self._condition(self.directory_terms, params)}{self._holders(params)}"
        )

    def membership(self, params: Params) -> str:
        """SQL: is `f` in `d` an answer, whoever asks? For this question as a part of another."""
        places, terms = self._places(params, ""), self._condition(self.terms, params)
        return f"(f.kind = 0 and {places} and {terms})"

    def member_directories(self, params: Params) -> str:
        """SQL: may `d` hold an answer?"""
        return (
            f"({self._places(params, '')} and {self._condition(self.directory_terms, params)}{self._holders(params)})"
        )

    def _holders(self, params: Params) -> str:
        """SQL that leads to the directories with answers by an index: those with members of data sets, those where the
        value fits or a file's own does."""
        found = [f" and {clause.directories(params)}" for clause in self._memberships()]
        if self.halves is not None:
            two = (self._condition([half], params) for half in (self.halves.own, self.halves.inherited))
            found.append(f" and {holders(*two)}")
        return "".join(found)

    def _memberships(self) -> list[MemberClause]:
        """Data sets that every answer is in."""
        if self.directories:
            return []
        clauses = (self.related.get(t) for t in self.terms if isinstance(t, Related))
        return [c for c in clauses if isinstance(c, MemberClause)]

    def _places(self, params: Params, after: str) -> str:
        parts = [
            f"(d.path >= {params.add(low, 'text')} and d.path < {params.add(high, 'text')})"
            for low, high in self.ranges(after)
        ]
        return f"({' or '.join(parts)})" if parts else "false"

    def of_files(self, params: Params) -> str:
        """SQL of all that is left to ask of `f` in a directory where `of_directories` (of the whole) holds."""
        top = self.where.top if self.where else "/"
        asked = self._condition([*self.gate, *self.file_terms], params)
        return f"f.kind = 0 and {self.sight.file(params, top)} and {asked}"

    def of_all(self, params: Params, after: str = "") -> str:
        """SQL of everything: path, directory and file."""
        where = self._places(params, after)
        rest = "" if self.directories else f" and {self.of_files(params)}"
        return f"{where} and {self.of_directories(params)}{rest}"

    @property
    def contained(self) -> bool:
        """Is there a term that the GIN index of `dir.eff` answers, or one that names directories?"""
        return bool(self.halves or self._memberships()) or any(
            isinstance(t, Bound) and not t.negated and t.op in (Op.EQ, Op.IN) for t in self.directory_terms
        )

    @property
    def only_directories(self) -> bool:
        """True when every file of a matching directory matches, and may be read."""
        return not self.file_terms and self.where is not None and self.sight.free_of_checks(self.where.top)

    def indexed(self) -> list[Bound]:
        """Terms that an index on files may answer by itself."""
        return [
            t for t in self.file_terms if isinstance(t, Bound) and not t.negated and t.op in INDEXED and _has_index(t)
        ]

    def unindexed(self) -> list[Any]:
        """Declared fields that files are searched by without an index, and that could have one."""
        seen: dict[str, Any] = {}
        for term in self.file_terms:
            for leaf in leaves(term):
                if (
                    isinstance(leaf, Bound)
                    and not isinstance(leaf.field, StandardField)
                    and leaf.field.type is not FieldType.JSON
                    and leaf.field.index_state is not IndexState.READY
                ):
                    seen[leaf.field.name] = leaf.field
        return list(seen.values())

    def everything(self) -> And | Always:
        return And(tuple(self.terms)) if self.terms else Always(True)


def _has_index(term: Bound) -> bool:
    field: Any = term.field
    if isinstance(field, StandardField):
        return field.name == "guid"
    return field.on_files and not field.on_dirs and field.index_state is IndexState.READY
