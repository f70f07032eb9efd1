"""`meta.KEY` and `meta["KEY"]`: a key that no field declares, as open trees keep it. It is asked for by its JSON."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lading.model.field import Field, FieldType
from lading.model.lfn import shown

from ..standard import find
from .errors import QueryError, closest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .tree import Test

PREFIX = "meta"
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,126}")


def is_undeclared(name: str) -> bool:
    """Is a name written as one that asks for an undeclared key? None such can be declared."""
    return name == PREFIX or name.startswith(PREFIX + ".")


def undeclared(test: Test, fields: Mapping[str, Field], *, in_reach: bool) -> tuple[Field, tuple[str, ...]]:
    """A field of JSON, which no VO has, for the key, and the path into its value.

    Of a dotted name the key ends at the next dot; a key with dots is written in brackets. Raises QueryError: for no
    key, for one that is declared (so that there is one way to ask for it), and where no open tree is `in_reach`.
    """
    key, *path = [*test.name.split(".")[1:], *test.steps] or [""]
    if not _KEY.fullmatch(key):
        given = f"; '{shown(key, 80)}' is none" if key else ""
        raise QueryError(f'{PREFIX} is followed by a key: {PREFIX}.key or {PREFIX}["my.key"]{given}', test.at)
    if fields.get(key) or find(key):
        raise QueryError(f"'{key}' is a field: ask for {key}, without {PREFIX}", test.at, suggestion=key)
    if not in_reach:
        close = closest(key, fields)
        hint = f"; did you mean {close}?" if close else ""
        told = f"there is no field '{key}', and no tree that takes undeclared keys where you look{hint}"
        raise QueryError(told, test.at, suggestion=close)
    return Field("", key, FieldType.JSON, on_files=True, on_dirs=True), tuple(path)


def hint(name: str) -> str:
    """How to ask for a key of that name, if it is one."""
    if not _KEY.fullmatch(name):
        return ""
    return f'{PREFIX}["{name}"]' if "." in name else f"{PREFIX}.{name}"
