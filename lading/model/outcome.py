"""What a bulk call answers: one outcome per item, in the order of the request."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

from .errors import Fault, from_fault

T = TypeVar("T")


class Outcome(msgspec.Struct, Generic[T], omit_defaults=True):
    """`item` is what was asked about (an LFN, a name); `value` what came of it, or `error` why nothing did.

    `changed` is False when the wished state was there already: the same call again is a success.
    """

    item: str
    value: T | None = None
    error: Fault | None = None
    changed: bool = True

    def get(self) -> T | None:
        """The value; raises the CatalogError that `error` stands for."""
        if self.error is not None:
            raise from_fault(self.error)
        return self.value


class Outcomes(msgspec.Struct, Generic[T], omit_defaults=True):
    """The answer of a bulk call. `failed` counts the outcomes with an error; `dry_run` tells that nothing was
    written."""

    outcomes: list[Outcome[T]]
    failed: int = 0
    dry_run: bool = False


class Page(msgspec.Struct, Generic[T], omit_defaults=True):
    """One page of a list. `next` is the cursor of the page after it; absent at the end. Cursors survive restarts."""

    items: list[T]
    next: str | None = None
