"""Limits on transfers at once, and whose turn it is: what operators set."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

_Most = Annotated[int, Meta(ge=0, le=100_000)]
_Weight = Annotated[float, Meta(gt=0, le=1e6)]


class ShareOf(StrEnum):
    ACTIVITY = "activity"
    GROUP = "group"


class LinkLimit(Struct, omit_defaults=True, forbid_unknown_fields=True):
    """`most` places over a link; 0 closes it, null is the default again."""

    source: str
    target: str
    most: _Most | None = None


class ShareSpec(Struct, omit_defaults=True, forbid_unknown_fields=True):
    """The weight of an activity, or of a group within each activity, and its places at most. Weight 1 and no `most` is
    what all have who are not named."""

    of: ShareOf
    name: Annotated[str, Meta(min_length=1, max_length=255)]
    weight: _Weight = 1.0
    most: _Most | None = None


class LimitsChange(Struct, omit_defaults=True, forbid_unknown_fields=True):
    """PATCH /v1/limits -> Limits. What is not named stays as it is."""

    links: Annotated[list[LinkLimit], Meta(max_length=10_000)] = []
    shares: Annotated[list[ShareSpec], Meta(max_length=10_000)] = []


class LinkUse(Struct, omit_defaults=True):
    """A link that has a limit of its own (`set`), or anything to do: places taken of `most`, transfers that wait.
    `tuned`: by what was moved over it."""

    source: str
    target: str
    most: int
    set: bool = False
    taken: int = 0
    waiting: int = 0
    tuned: bool = False


class LinkDecision(Struct, omit_defaults=True):
    """The places of a link `before` and `after`, by what went over it in half a minute: `rate` in bytes a second, tries
    `done`, and `failed` (to be tried again). Microseconds."""

    source: str
    target: str
    at: int
    before: float
    after: float
    rate: float = 0.0
    done: int = 0
    failed: int = 0
    why: str = ""


class Limits(Struct, omit_defaults=True):
    links: list[LinkUse] = []
    shares: list[ShareSpec] = []
