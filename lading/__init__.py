"""lading for its users: `from lading import Client`, and the errors that a call may raise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .model.errors import (
    CatalogError,
    Conflict,
    Fault,
    Forbidden,
    InvalidRequest,
    NotFound,
    QuotaExceeded,
    Throttled,
    TooLarge,
    Unauthenticated,
    Unavailable,
)
from .model.outcome import Outcome

if TYPE_CHECKING:
    from .client import Client

__version__ = "0.1.0"

__all__ = [
    "CatalogError",
    "Client",
    "Conflict",
    "Fault",
    "Forbidden",
    "InvalidRequest",
    "NotFound",
    "Outcome",
    "QuotaExceeded",
    "Throttled",
    "TooLarge",
    "Unauthenticated",
    "Unavailable",
]


def __getattr__(name: str) -> object:
    if name == "Client":  # aiohttp takes 200 ms to load: only for those who connect
        from .client import Client

        return Client
    raise AttributeError(f"module 'lading' has no attribute '{name}'")
