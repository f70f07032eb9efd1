"""Secrets at rest: options of storage elements that are nobody's to read, encrypted with the server's key (Fernet:
AES-128-CBC and HMAC-SHA256, https://github.com/fernet/spec)."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import msgspec
from cryptography.fernet import Fernet, InvalidToken

from lading.model.errors import Unavailable


class SecretBox:
    """Seals and opens with one key, asked for when first needed: a server without secrets needs no key."""

    def __init__(self, key: Callable[[], bytes]) -> None:
        """`key` gives 32 bytes, or raises a CatalogError that says how to set one."""
        self._key = key
        self._made: Fernet | None = None

    def _fernet(self) -> Fernet:
        if self._made is None:
            self._made = Fernet(base64.urlsafe_b64encode(self._key()))
        return self._made

    def seal(self, secrets: dict[str, Any]) -> bytes | None:
        """None for no secrets."""
        return self._fernet().encrypt(msgspec.json.encode(secrets)) if secrets else None

    def open(self, sealed: bytes | None) -> dict[str, Any]:
        """Raises Unavailable when the key is not the one they were sealed with."""
        if not sealed:
            return {}
        try:
            return msgspec.json.decode(self._fernet().decrypt(sealed), type=dict[str, Any])
        except InvalidToken:
            raise Unavailable(
                "the element's secrets were sealed with another key: start the server with the right key, or set them"
                " again"
            ) from None
