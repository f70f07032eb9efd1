"""Data sets in the queries of data sets: how deep, how many, and never in a circle."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lading.model.errors import InvalidRequest
from lading.model.lfn import shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from .params import Params

MAX_DEPTH = 8
MAX_SETS = 64  # a set named twice counts twice: each is a part of the statement


class Nesting:
    """One query being prepared: the names on the way down to here, and how many more may be looked into in all."""

    __slots__ = ("_left", "_names")

    def __init__(self, names: tuple[str, ...] = (), left: list[int] | None = None) -> None:
        self._names = names
        self._left = [MAX_SETS] if left is None else left

    def into(self, name: str) -> Nesting:
        """One level down. Raises InvalidRequest for a circle and for too much."""
        if name in self._names:
            raise InvalidRequest(f"the data set '{shown(name)}' is defined by itself", dataset=name)
        if len(self._names) >= MAX_DEPTH:
            raise InvalidRequest(f"data sets are nested more than {MAX_DEPTH} deep: freeze one", dataset=name)
        self._left[0] -= 1
        if self._left[0] < 0:
            raise InvalidRequest(f"the query leads through more than {MAX_SETS} data sets: freeze one", dataset=name)
        return Nesting((*self._names, name), self._left)


class MemberClause:
    """Is `f` a member? `directories` is a condition on `d` that holds for every directory with members: with it a
    search need not look into the others."""

    __slots__ = ("_files", "directories")

    def __init__(self, files: Callable[[Params], str], directories: Callable[[Params], str]) -> None:
        self._files = files
        self.directories = directories

    def __call__(self, params: Params) -> str:
        return self._files(params)
