"""Texts of a command line or a CSV file as values of a field's type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..client.client import Client

_TEXTS = ("string", "timestamp", "date")


def typed(kind: str | None, text: str) -> Any:
    """The value a text stands for: itself for texts, dates and times, else what it is as JSON, if it is any.

    What fits no type is left for the server to refuse, with the reason. `kind` is None for an undeclared key.
    """
    if kind in _TEXTS:
        return text
    try:
        return msgspec.json.decode(text.lower() if kind == "bool" else text)
    except msgspec.DecodeError:
        return text


async def types(client: Client) -> Callable[[str, str, str], Any]:
    """A function of (LFN, field, text) that gives the value, by the fields as they are declared now."""
    kinds = {(f.vo, f.name): f.type.value for f in await client.fields.list()}

    def value(lfn: str, name: str, text: str) -> Any:
        return typed(kinds.get((lfn.split("/", 2)[1] if lfn.startswith("/") else "", name)), text)

    return value
