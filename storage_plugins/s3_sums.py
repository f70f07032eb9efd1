"""Checksums that a server keeps beside the object: told without reading it, and compared when it is written."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import secrets
from typing import TYPE_CHECKING, Any

from lading.model.checksum import Digest

from .base import RESERVED
from .chunks import chunked
from .errors import Denied, ObjectNotFound, StorageError, Transient
from .s3_client import S3Client

if TYPE_CHECKING:
    from collections.abc import Mapping

_PARAMETERS = {kind: f"Checksum{kind.upper()}" for kind in ("crc32", "crc32c", "sha1", "sha256")}


class Sums:
    """Some servers keep what they are told without a look at the bytes (rclone), others forget it (Ceph 16). So they
    are tried, once an element, when it matters first."""

    def __init__(self, client: S3Client) -> None:
        self._client = client
        self._trying = asyncio.Lock()
        self._kept: bool | None = None

    async def told(self, pfn: str, head: Any) -> dict[str, str]:
        """{kind: hex} of the whole object, of what the server compared when it got it."""
        found: dict[str, str] = {}
        if md5 := self._client.md5(head):
            found["md5"] = md5
        if head.get("ChecksumType", "FULL_OBJECT") == "FULL_OBJECT":
            for kind, parameter in _PARAMETERS.items():
                with contextlib.suppress(binascii.Error, TypeError):
                    found[kind] = base64.b64decode(head.get(parameter), validate=True).hex()
        if found.keys() - {"md5"} and not await self.kept():
            return {kind: value for kind, value in found.items() if kind == "md5"}
        return found

    async def parameters(self, expected: Mapping[str, str]) -> dict[str, str]:
        """What to add to a `put_object` of bytes with these checksums (in their written form): at most one, as Amazon
        takes it."""
        for kind, parameter in _PARAMETERS.items():
            if kind in expected and await self.kept():
                return {parameter: base64.b64encode(bytes.fromhex(expected[kind])).decode()}
        return {}

    async def kept(self) -> bool:
        """Whether the server refuses a wrong checksum, and tells a right one."""
        async with self._trying:
            if self._kept is None:
                try:
                    self._kept = await self._try()
                except Denied:  # we may not write
                    self._kept = False
        return self._kept

    async def _try(self) -> bool:
        key = self._client.key(f"{RESERVED}probe/sum-{secrets.token_hex(8)}")
        data = key.encode()
        digest = Digest(["sha256"])
        digest.update(data)
        right = base64.b64encode(bytes.fromhex(digest.result()["sha256"])).decode()
        wrong = base64.b64encode(bytes(32)).decode()
        try:
            try:
                await self._client.send("put_object", chunked(data), len(data), Key=key, ChecksumSHA256=wrong)
            except StorageError as error:
                if isinstance(error, Denied) or (isinstance(error, Transient) and "way" not in error.message):
                    raise
            else:
                return False
            await self._client.send("put_object", chunked(data), len(data), Key=key, ChecksumSHA256=right)
            head = await self._client.call("head_object", Key=key, ChecksumMode="ENABLED")
            return bool(head.get("ChecksumSHA256") == right)
        finally:
            with contextlib.suppress(Denied, ObjectNotFound):
                await self._client.call("delete_object", Key=key)
