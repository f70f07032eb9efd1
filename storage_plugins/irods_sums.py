"""Checksums as iRODS writes them."""

from __future__ import annotations

import re
from base64 import b64decode

from lading.model.checksum import WIDTH

_HASHES = {"sha2": "sha256", "sha512": "sha512", "sha1": "sha1", "md5": "md5", "adler32": "adler32"}
KINDS = frozenset(_HASHES.values())
_HEX = re.compile(r"[0-9a-fA-F]+")


def read_checksum(text: str | None) -> dict[str, str]:
    """{kind: hex} of a replica's checksum: `sha2:` and others in base64, adler32 in hex, MD5 in hex with no word before
    it. {} for none, and for what is none of these."""
    scheme, colon, value = (text or "").strip().rpartition(":")
    kind = _HASHES.get(scheme.lower()) if colon else "md5"
    if kind is None:
        return {}
    if len(value) == WIDTH[kind] and _HEX.fullmatch(value):
        return {kind: value.lower()}
    try:
        digest = b64decode(value, validate=True).hex()
    except ValueError:
        return {}
    return {kind: digest} if colon and len(digest) == WIDTH[kind] else {}
