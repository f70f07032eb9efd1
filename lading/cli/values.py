"""`key=value` options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from ..client.local import told
from ..model.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def pairs(texts: Sequence[str] | None, types: Mapping[str, str] | None = None) -> dict[str, Any]:
    """{key: value}. A value that is JSON is taken as such unless `types` says the key holds text; `@FILE` reads a file.

    Raises InvalidRequest, LocalError.
    """
    found: dict[str, Any] = {}
    for text in texts or ():
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise InvalidRequest(f"'{text[:80]}' is not KEY=VALUE")
        found[key] = _value(value, (types or {}).get(key, ""))
    return found


def _value(text: str, type_: str) -> Any:
    if text.startswith("@"):  # for secrets: arguments can be seen by everyone on the machine
        with told(text[1:]), open(text[1:], encoding="utf-8") as stream:
            text = stream.read().rstrip("\r\n")
    if type_.startswith(("str", "text")):
        return text
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
