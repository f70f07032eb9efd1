"""A search in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lading.model.search import Explained

from .language.tree import Bound
from .normal import leaves
from .standard import StandardField

if TYPE_CHECKING:
    from .language.tree import Node
    from .prepared import Prepared
    from .search import Route


def explain(asked: Prepared, route: Route) -> Explained:
    """What a search of this route does."""
    if asked.where is None:
        return Explained(
            "directories", ["nothing can match: the query asks for places that don't meet, or for nothing"], 0, 0
        )
    top = asked.where.top
    steps = [f"look {'in the directory' if asked.where.exact else 'below'} {top}"]
    if asked.directory_terms:
        gin = (
            " (the index of directories' values)"
            if asked.contained
            else " (each directory's values are read: no index knows them)"
        )
        steps.append(f"take the directories that fit {_fields(asked.directory_terms)}{gin}")
    if asked.directories:
        return Explained("directories", steps)
    if route.directories is not None:
        steps.append(f"{route.directories} directories with {route.files} files are left")
    missing = asked.unindexed()
    if route.leads is not None:
        led = _fields(asked.indexed())
        steps.append(f"the index of {led} leads, as it holds about {round(route.rows or 0)} of these files")
    elif route.rows is not None:
        rows = round(route.rows)
        steps.append(f"the directories lead: the indexes of {_fields(asked.indexed())} would bring about {rows} files")
    if asked.halves is not None:
        name = asked.halves.whole.field.name
        steps.append(f"the index of {name} finds the files with a value of their own, their directories' the others")
    if asked.file_terms:
        steps.append(f"hold the files against {_fields(asked.file_terms)}")
    else:
        steps.append("every file of such a directory matches")
    if not asked.only_directories and not asked.sight.free_of_checks(top):
        steps.append("leave out what you may not read")
    steps += [f"index the field {f.name}: 'lading field index {f.vo} {f.name}'" for f in missing]
    route_name = "index" if route.leads else "directories"
    return Explained(route_name, steps, route.directories, route.files, [f.name for f in missing])


def _fields(terms: list[Any] | list[Node]) -> str:
    names: dict[str, None] = {}
    for term in terms:
        for leaf in leaves(term):
            if not isinstance(leaf, Bound):
                names[f"{leaf.relation.value} {leaf.target}"] = None
            else:
                names[leaf.field.name + (" (of every file)" if isinstance(leaf.field, StandardField) else "")] = None
    return ", ".join(names)
