"""Resumable writes: a multipart upload that its caller drives."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from lading.model.checksum import kind, normalise

from .base import NONE, ObjectInfo
from .chunks import CheckedChunks, chunked, mismatch
from .errors import ObjectNotFound, Unsupported
from .powers import Part
from .s3_client import MD5, S3Client
from .s3_cut import etag_of_parts
from .s3_staging import listed
from .s3_write import Writer

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Mapping, Sequence

    from .base import Chunk

_ADLER = 65521


class Parts:
    """The tag of a part is its ETag and, after a blank, the adler32 sum of what was sent: sums of parts add up to that
    of the object, which no hash's do."""

    def __init__(self, client: S3Client, writer: Writer) -> None:
        self._client = client
        self._writer = writer

    async def start(self, pfn: str) -> str:
        upload: str = (await self._writer.begin(pfn, self._client.key(pfn)))["UploadId"]
        return upload

    async def write(self, pfn: str, upload: str, number: int, chunks: AsyncIterable[Chunk], *, size: int) -> Part:
        where = self._where(pfn, upload)
        checked = CheckedChunks(chunks, ("md5", "adler32"), size=size, pfn=pfn)
        answer = await self._client.send("upload_part", checked, size, pfn=pfn, PartNumber=number, **where)
        told = self._client.md5(answer)
        if told and told != checked.checksums["md5"]:
            raise mismatch({"md5": checked.checksums["md5"]}, {"md5": told}, pfn)
        return Part(number, size, f"{answer['ETag']} {checked.checksums['adler32']}")

    async def list(self, pfn: str, upload: str) -> list[Part]:
        found = await listed(self._client, self._where(pfn, upload), pfn)
        return [Part(part["PartNumber"], part["Size"], part["ETag"]) for part in found]

    async def finish(
        self, pfn: str, upload: str, parts: Sequence[Part], *, overwrite: bool, checksums: Mapping[str, str] = NONE
    ) -> ObjectInfo:
        """Raises Unsupported, and the upload stays, for checksums that cannot be told from those of the parts."""
        where = self._where(pfn, upload)
        wanted = {kind(name): normalise(name, value) for name, value in checksums.items()}
        size = sum(part.size for part in parts)
        if wanted:
            told = _adler32(parts)
            if told is None or wanted.keys() - {"adler32"}:
                raise Unsupported("only adler32 can be compared, and only of parts written here", pfn=pfn)
            if wanted["adler32"] != told:
                raise mismatch(wanted, {"adler32": told}, pfn)
        tags = [part.tag.partition(" ")[0] for part in parts]
        numbers = [part.number for part in parts]
        if not parts:  # an upload is completed with one part at least
            answer = await self._client.send("upload_part", chunked(b""), 0, pfn=pfn, PartNumber=1, **where)
            tags, numbers = [answer["ETag"]], [1]
        described: list[dict[str, Any]] = [
            {"PartNumber": number, "ETag": tag} for number, tag in zip(numbers, tags, strict=True)
        ]
        answer = await self._writer.complete(pfn, where, described, overwrite=overwrite)
        plain = [tag.strip('"') for tag in tags]
        digests = [bytes.fromhex(tag) if MD5.fullmatch(tag) else None for tag in plain]
        expected = etag_of_parts(digests) if self._client.etag_md5 else None
        await self._writer.check(pfn, where["Key"], answer, expected, size)
        return ObjectInfo(size, None, wanted)

    async def abort(self, pfn: str, upload: str) -> None:
        with contextlib.suppress(ObjectNotFound):
            await self._client.call("abort_multipart_upload", pfn=pfn, **self._where(pfn, upload))

    def _where(self, pfn: str, upload: str) -> dict[str, Any]:
        return {"Key": self._client.key(pfn), "UploadId": upload}


def _adler32(parts: Sequence[Part]) -> str | None:
    """Of all parts together (RFC 1950: two sums modulo 65521); None when one's is not known."""
    low, high = 1, 0
    for part in parts:
        _, _, text = part.tag.partition(" ")
        if not text:
            return None
        value = int(text, 16)
        high = (high + (value >> 16) + part.size * (low - 1)) % _ADLER
        low = (low + (value & 0xFFFF) - 1) % _ADLER
    return f"{high << 16 | low:08x}"
