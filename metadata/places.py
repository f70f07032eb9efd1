"""Where a query can be true at all: ranges of paths of directories, from `under` and from what it says of paths."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from lading.model import lfn

from .language import glob
from .language.tree import Bound, Op

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .language.tree import Node

    Range = tuple[str, str]
    """Paths from the first on, below the second, in byte order."""


class Place(NamedTuple):
    """A directory; with `exact` it alone, else all below it too."""

    top: str
    exact: bool = False


def place(under: str, terms: Iterable[Node], *, directories: bool) -> Place | None:
    """Where `d` must be for all the terms to hold; None: nowhere. It may hold more than what fits."""
    found = Place(under)
    for term in terms:
        if isinstance(term, Bound) and not term.negated:
            for other in _implied(term, directories):
                both = _both(found, other)
                if both is None:
                    return None
                found = both
    return found


def _implied(term: Bound, directories: bool) -> list[Place]:
    name = term.field.name
    if name not in ("lfn", "dir") or not isinstance(term.values[0] if term.values else None, str):
        return []
    own = (name == "lfn") is directories  # is it the path of `d` that it speaks of?
    if term.op is Op.EQ:
        path = term.values[0]
        if own or (name == "dir" and not directories):
            return [Place(path, exact=True)]
        return [Place(lfn.split(path)[0] or "/", exact=True)] if name == "lfn" else [Place(path)]
    if term.op is Op.LIKE:
        fixed, _ = glob.prefix(term.values[0])
        return [Place(fixed[: fixed.rfind("/")] or "/")] if fixed.startswith("/") else []
    return []


def _both(one: Place, two: Place) -> Place | None:
    if lfn.is_within(two.top, one.top) and (not one.exact or one.top == two.top):
        return Place(two.top, one.exact or two.exact)
    if lfn.is_within(one.top, two.top) and not two.exact:
        return one
    return None


def ranges(where: Place, after: str = "") -> list[Range]:
    """The ranges of paths, in order; without what comes before `after`."""
    top = where.top
    if where.exact:
        found = [(top, top + "\x01")]  # no path holds a control character
    elif top == "/":
        found = [("/", "0")]  # '0' follows '/'; the trash, 'T', is outside
    else:
        found = [(top, top + "\x01"), (top + "/", top + "0")]
    return [(max(low, after), high) for low, high in found if high > after]


def within(path: str, found: Sequence[Range]) -> bool:
    return any(low <= path < high for low, high in found)
