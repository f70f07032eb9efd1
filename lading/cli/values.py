"""`key=value` options."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from ..client.local import told
from ..model.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Sequence


S = TypeVar("S", bound=msgspec.Struct)


def pairs(texts: Sequence[str] | None, *, json: bool = True) -> dict[str, Any]:
    """{key: value}. With `json` a value that is JSON is taken as such, else as text; `@FILE` reads it from a file.

    Raises InvalidRequest, LocalError.
    """
    found: dict[str, Any] = {}
    for text in texts or ():
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise InvalidRequest(f"'{text[:80]}' is not KEY=VALUE")
        if value.startswith("@"):  # for secrets: arguments can be seen by everyone on the machine
            with told(value[1:]), open(value[1:], encoding="utf-8") as stream:
                value = stream.read().rstrip("\r\n")
        found[key] = _decoded(value) if json else value
    return found


def _decoded(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text


def chosen(**values: Any) -> dict[str, Any]:
    """Those that were given: what is None stays as it is on the server."""
    return {key: value for key, value in values.items() if value is not None}


def struct(type: type[S], values: dict[str, Any]) -> S:
    """A request of these values. Raises InvalidRequest, naming the field, when one does not fit."""
    try:
        return msgspec.convert(values, type)
    except msgspec.ValidationError as error:
        raise InvalidRequest(str(error).replace(" - at `$.", " for `").replace("`$.", "`")) from None


def _seconds(text: str) -> int | None:
    match = re.fullmatch(r"(\d{1,6})([dhms])", text)
    return int(match[1]) * {"d": 86400, "h": 3600, "m": 60, "s": 1}[match[2]] if match else None


def seconds(text: str) -> int:
    """Seconds of `2d`, `6h`, `30m` or `10s`. Raises InvalidRequest."""
    found = _seconds(text)
    if found is None:
        raise InvalidRequest(f"'{text[:40]}' is no time span: write 2d, 6h, 30m or 10s")
    return found


def instant(text: str) -> int:
    """Microseconds since the epoch of `2026-11-24`, `2026-11-24 03:12` (UTC) or `2d`, `6h`, `30m` ago.
    InvalidRequest."""
    if (ago := _seconds(text)) is not None:
        return round((time.time() - ago) * 1e6)
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidRequest(
            f"'{text[:40]}' is no time: write 2026-11-24, '2026-11-24 03:12' (UTC), or 2d, 6h, 30m"
        ) from None
    return round((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1e6)
