"""Dates and times: integers within (days or microseconds since 1970-01-01 UTC), ISO 8601 to the eye. Years 0001 to
9999."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta

from lading.model.lfn import shown

DAY = 86_400_000_000  # microseconds
_EPOCH = datetime(1970, 1, 1)
_EPOCH_DAY = _EPOCH.toordinal()
_MICROSECOND = timedelta(microseconds=1)
MIN_DAY = date.min.toordinal() - _EPOCH_DAY
MAX_DAY = date.max.toordinal() - _EPOCH_DAY
MIN_TIME = MIN_DAY * DAY
MAX_TIME = MAX_DAY * DAY + DAY - 1

_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_TIME = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,6}))?)?"
    r"(?:([Zz])|([+-])([0-9]{2}):?([0-9]{2}))?"
)


def parse_date(text: str) -> int:
    """Days since 1970-01-01 of `2024-01-31`. Raises ValueError, with what is wrong in words."""
    found = _DATE.fullmatch(text)
    if not found:
        raise ValueError(f"'{shown(text, 40)}' is not a date such as 2024-01-31")
    try:
        return date(int(found[1]), int(found[2]), int(found[3])).toordinal() - _EPOCH_DAY
    except ValueError:
        raise ValueError(f"there is no date {text}") from None


def parse_time(text: str) -> int:
    """Microseconds since the epoch of `2024-01-31T12:00:00.5Z`.

    Seconds may be left out; an offset (`+02:00`) is applied; without one the time is UTC. Raises ValueError.
    """
    found = _TIME.fullmatch(text)
    if not found:
        raise ValueError(f"'{shown(text, 40)}' is not a time such as 2024-01-31T12:00:00Z")
    day, hour, minute = parse_date(found[1]), int(found[2]), int(found[3])
    second, micro = int(found[4] or 0), int((found[5] or "").ljust(6, "0"))
    ahead_hour, ahead_minute = int(found[8] or 0), int(found[9] or 0)
    if hour > 23 or minute > 59 or second > 59 or ahead_hour > 23 or ahead_minute > 59:
        raise ValueError(f"there is no time {text}")
    ahead = (ahead_hour * 60 + ahead_minute) * (-60 if found[7] == "-" else 60)
    stamp = day * DAY + ((hour * 60 + minute) * 60 + second - ahead) * 1_000_000 + micro
    if not MIN_TIME <= stamp <= MAX_TIME:
        raise ValueError(f"{text} in UTC is outside the years 0001 to 9999")
    return stamp


def parse_either(text: str) -> tuple[bool, int]:
    """(True, days) for a date, (False, microseconds) for a time. Raises ValueError."""
    is_date = ":" not in text
    return is_date, parse_date(text) if is_date else parse_time(text)


def show_date(days: int) -> str:
    return date.fromordinal(days + _EPOCH_DAY).isoformat()


def show_time(stamp: int) -> str:
    """RFC 3339, in UTC, with six decimals or none."""
    return (_EPOCH + stamp * _MICROSECOND).isoformat() + "Z"
