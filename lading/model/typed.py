"""Texts as values of a field's type: of a command line, a CSV file, the metadata that a storage keeps; and back."""

from __future__ import annotations

from typing import Any

import msgspec

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


def text(value: Any) -> str:
    """What `typed` makes the value of again: itself for texts, else JSON."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
