"""Texts of a command line or a CSV file as values of a field's type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..model.typed import typed

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..client.client import Client


async def types(client: Client) -> Callable[[str, str, str], Any]:
    """A function of (LFN, field, text) that gives the value, by the fields as they are declared now."""
    kinds = {(f.vo, f.name): f.type.value for f in await client.fields.list()}

    def value(lfn: str, name: str, text: str) -> Any:
        return typed(kinds.get((lfn.split("/", 2)[1] if lfn.startswith("/") else "", name)), text)

    return value
