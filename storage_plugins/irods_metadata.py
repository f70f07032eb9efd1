"""Attributes of data objects (AVUs: attribute, value, unit), as pairs. Everything here blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from irods.meta import AVUOperation, iRODSMeta
from irods.models import DataObject

from .errors import Unsupported
from .irods_tree import MARK

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .irods_session import Session
    from .irods_tree import Tree

_LONGEST = 2700


def get(session: Session, tree: Tree, pfn: str) -> dict[str, str]:
    values: dict[str, list[str]] = {}
    for avu in _avus(session, tree, pfn):
        values.setdefault(avu.name, []).append(avu.value)
    return {name: "\n".join(sorted(several)) for name, several in values.items()}


def set(session: Session, tree: Tree, pfn: str, values: Mapping[str, str | None]) -> None:
    for text in (*values, *(value for value in values.values() if value is not None)):
        if not 0 < len(text) <= _LONGEST or any(c < " " and c not in "\t\n" for c in text):
            raise Unsupported(
                f"iRODS keeps attributes and values of 1 to {_LONGEST:,} characters, none of them a control", pfn=pfn
            )
    path = tree.find(session, pfn).path
    changes = [AVUOperation("remove", avu) for avu in _avus(session, tree, pfn) if avu.name in values]
    changes += [AVUOperation("add", iRODSMeta(name, value)) for name, value in values.items() if value is not None]
    if changes:
        session.call(lambda irods: irods.metadata.apply_atomic_operations(DataObject, path, *changes), pfn)


def _avus(session: Session, tree: Tree, pfn: str) -> list[Any]:
    path = tree.find(session, pfn).path
    avus = session.call(lambda irods: irods.metadata.get(DataObject, path), pfn, again=True)
    return [avu for avu in avus if avu.name != MARK]
