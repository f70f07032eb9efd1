"""Whether a server keeps names as they are: SeaweedFS takes a backslash for a slash, so that two names are one
object."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING

from .base import RESERVED
from .errors import Denied, InvalidPath
from .paths import shown

if TYPE_CHECKING:
    from .s3_client import S3Client


class Names:
    def __init__(self, client: S3Client) -> None:
        self._client = client
        self._trying = asyncio.Lock()
        self._kept: bool | None = None

    async def check(self, key: str) -> None:
        """Raises InvalidPath. The server is tried with the first name that has a backslash; where we may not write
        it is believed."""
        if "\\" not in key:
            return
        async with self._trying:
            if self._kept is None:
                try:
                    self._kept = await self._try()
                except Denied:
                    self._kept = True
        if not self._kept:
            raise InvalidPath(
                f"the server takes the backslash of '{shown(key)}' for a slash", pfn=self._client.pfn(key)
            )

    async def _try(self) -> bool:
        folder = self._client.key_prefix(f"{RESERVED}probe/{secrets.token_hex(8)}")
        key = f"{folder}\\name"
        await self._client.call("put_object", unchecked=True, Key=key)
        try:
            page = await self._client.call("list_objects_v2", Prefix=folder)
            return [found["Key"] for found in page.get("Contents", ())] == [key]
        finally:
            await self._client.call("delete_object", unchecked=True, Key=key)
