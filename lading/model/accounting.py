"""Accounting: what transfers moved, for whom, over which links, and how much of it failed."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class By(StrEnum):
    """What tries are summed up by. `day` and `hour` are in UTC; `way` is how bytes moved; `kind` is the order's."""

    HOUR = "hour"
    DAY = "day"
    USER = "user"
    GROUP = "group"
    ACTIVITY = "activity"
    KIND = "kind"
    SOURCE = "source"
    TARGET = "target"
    WAY = "way"
    RESULT = "result"


class Account(Struct, omit_defaults=True):
    """Tries of transfers with the same `keys`, {by: value}: how many were `done`, ended in failure, or are tried again;
    the bytes of those done, and the seconds that all took."""

    keys: dict[str, str]
    tries: int = 0
    done: int = 0
    failed: int = 0
    retried: int = 0
    bytes: int = 0
    seconds: float = 0.0
