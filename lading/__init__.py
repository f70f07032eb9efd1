"""lading for its users: `from lading import Client`, and the errors that a call may raise."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .client import Client
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


__version__: str  # of the installed distribution

_HOME = {"Client": ".client", "Outcome": ".model.outcome"}


def __getattr__(name: str) -> object:
    """Loaded on first use: an HTTP library takes 200 ms, and `lading --help` needs none."""
    if name == "__version__":
        return version("lading")
    if name not in __all__:
        raise AttributeError(f"module 'lading' has no attribute '{name}'")
    return getattr(import_module(_HOME.get(name, ".model.errors"), __name__), name)
