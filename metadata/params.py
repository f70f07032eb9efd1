"""The values of a statement: what a user wrote travels here, never in its text."""

from __future__ import annotations

from typing import Any


class Params:
    """Collects values; each becomes a place in the statement. Shared by all that write parts of one statement."""

    def __init__(self) -> None:
        self.values: list[Any] = []

    def add(self, value: Any, type_: str) -> str:
        """SQL of the value, with its type: asyncpg and the planner are told what it is."""
        self.values.append(value)
        return f"${len(self.values)}::{type_}"
