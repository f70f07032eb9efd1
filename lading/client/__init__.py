"""The Python client. `Client` is loaded on first use: the command line's help needs no HTTP library."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .client import Client

__all__ = ["Client"]


def __getattr__(name: str) -> object:
    if name == "Client":
        from .client import Client

        return Client
    raise AttributeError(f"module 'lading.client' has no attribute '{name}'")
