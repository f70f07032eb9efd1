"""How a data object gets to its place. Everything here blocks.

iRODS renames nothing over something. What is in the way goes to the staging collection first, where readers find it,
and is thrown away when its successor is in place.

A renaming has two parts in iRODS: first the new name, in the old collection, then the new collection. So the new name
must be free in both, and when the new collection is missing the object may be left with its new name in the old one.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from . import irods_catalog as catalog
from .errors import InvalidPath, ObjectExists, ObjectNotFound, StorageError, Transient
from .irods_tree import set_aside
from .paths import shown

if TYPE_CHECKING:
    from .irods_catalog import Found
    from .irods_session import Session
    from .irods_tree import Tree

_ATTEMPTS = 5


def move(session: Session, tree: Tree, source: str, target: str, *, overwrite: bool) -> None:
    """PFNs."""
    tree.path(target)
    found = tree.find(session, source)
    if source != target:
        tree.throw_away(session, [old.path for old in tree.replaced(session, source) if old.path != found.path])
        show(session, tree, found, target, list(tree.replaced(session, target)), overwrite=overwrite)


def show(session: Session, tree: Tree, found: Found, pfn: str, olds: list[Found], *, overwrite: bool) -> None:
    """Move a data object to `pfn`. `olds`: what `replaced` tells of that. Raises ObjectExists."""
    target = tree.path(pfn)
    if olds and not overwrite:
        raise ObjectExists(f"'{shown(pfn)}' is there already, or being replaced", pfn=pfn)
    aside: list[str] = []
    try:
        _show(session, tree, found, target, pfn, aside, overwrite=overwrite)
    except BaseException:
        if aside:
            with suppress(StorageError):  # else it is read from where it is, and `clean` brings it back
                tree.rename(session, aside[-1], target, pfn)
        raise
    with suppress(StorageError):  # the object is shown: what stays behind is for `clean`
        tree.throw_away(session, [*(old.path for old in olds), *aside])


def _show(
    session: Session, tree: Tree, found: Found, target: str, pfn: str, aside: list[str], *, overwrite: bool
) -> None:
    source, parent = found.path, target.rpartition("/")[0]
    failed: StorageError | None = None
    for attempt in range(_ATTEMPTS):
        if overwrite or failed:
            there = tree.at(session, pfn)
            if there and there.id == found.id:
                return  # it was done, and the answer was lost
            if there and not overwrite:
                raise ObjectExists(f"'{shown(pfn)}' is there already", pfn=pfn)
            if isinstance(failed, Transient) or (attempt > 1 and isinstance(failed, ObjectNotFound)):
                raise failed
            if there:
                _set_aside(session, tree, there.path, pfn, aside)
            elif isinstance(failed, ObjectExists):
                source = _detour(session, tree, source, target, pfn, overwrite=overwrite)
            elif failed:
                source = _strayed(session, tree, source, target, found.id)
        if failed or not tree.is_made(parent):
            tree.make(session, parent)
        try:
            tree.rename(session, source, target, pfn)
            return
        except (ObjectExists, ObjectNotFound, Transient) as error:
            failed = error
    raise Transient(f"others write '{shown(pfn)}' all the time", pfn=pfn)


def _set_aside(session: Session, tree: Tree, path: str, pfn: str, aside: list[str]) -> None:
    old = f"{tree.staging}/{set_aside(pfn)}"
    with suppress(ObjectNotFound):  # another writer was first
        tree.mark(session, path, pfn)
        tree.rename(session, path, old, pfn)
        aside.append(old)


def _detour(session: Session, tree: Tree, source: str, target: str, pfn: str, *, overwrite: bool) -> str:
    """Nothing is at the target, and it is refused: the new name is taken where the object is now. So it goes to the
    staging collection, as what is at `pfn`."""
    if session.call(lambda irods: catalog.is_collection(irods, target), again=True):
        kind = InvalidPath if overwrite else ObjectExists
        raise kind(f"'{shown(pfn)}' is a collection", pfn=pfn)
    if source.startswith(f"{tree.staging}/"):
        return source  # whoever was in the way has gone
    moved: list[str] = []
    _set_aside(session, tree, source, pfn, moved)
    if not moved:
        raise ObjectNotFound("what is to be moved is gone", pfn=pfn)
    return moved[0]


def _strayed(session: Session, tree: Tree, source: str, target: str, id: int) -> str:
    """Where an object is now, when the target's collection was missing: perhaps it has the new name already."""
    collection, name = source.rpartition("/")[0], target.rpartition("/")[2]
    page, _ = session.call(lambda irods: catalog.objects(irods, collection, name=name), again=True)
    return page[0].path if page and page[0].id == id else source
