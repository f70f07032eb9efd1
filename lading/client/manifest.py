"""Manifests of data sets for other programs: JSON lines, Metalink 4 (RFC 5854), BagIt (RFC 8493). All as a stream."""

from __future__ import annotations

from pathlib import Path
from typing import IO, TYPE_CHECKING
from urllib.parse import quote
from xml.sax.saxutils import escape, quoteattr

import msgspec

from ..model.errors import InvalidRequest
from .local import told

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ..model.dataset import Member

# Names of hash functions as IANA registered them, which Metalink asks for. There is none for Adler-32.
_IANA = {
    "md5": "md5",
    "sha1": "sha-1",
    "sha224": "sha-224",
    "sha256": "sha-256",
    "sha384": "sha-384",
    "sha512": "sha-512",
}
_ENCODER = msgspec.json.Encoder()


def url(base: str, lfn: str) -> str:
    """Where a client with a token downloads a file."""
    return f"{base.rstrip('/')}/v1/data/{quote(lfn[1:])}"


async def json_lines(members: AsyncIterator[Member], out: IO[bytes]) -> int:
    """A Member a line. The number of files."""
    number = 0
    async for member in members:
        out.write(_ENCODER.encode(member) + b"\n")
        number += 1
    return number


async def metalink(members: AsyncIterator[Member], base: str, out: IO[bytes]) -> int:
    """A `file` each, named by its LFN without the leading slash, with its size, hashes and URL at this server."""
    out.write(b'<?xml version="1.0" encoding="UTF-8"?>\n<metalink xmlns="urn:ietf:params:xml:ns:metalink">\n')
    out.write(b" <generator>lading</generator>\n")
    number = 0
    async for member in members:
        lines = [f" <file name={quoteattr(member.lfn[1:])}>"]
        if member.size is not None:
            lines.append(f"  <size>{member.size}</size>")
        if member.guid:
            lines.append(f"  <identity>{member.guid}</identity>")
        sums = sorted(member.checksums.items())
        lines += [f'  <hash type="{_IANA[kind]}">{escape(value)}</hash>' for kind, value in sums if kind in _IANA]
        lines += [f"  <url>{escape(url(base, member.lfn))}</url>", " </file>", ""]
        out.write("\n".join(lines).encode())
        number += 1
    out.write(b"</metalink>\n")
    return number


async def bagit(members: AsyncIterator[Member], base: str, folder: str) -> int:
    """A bag to be filled: `fetch.txt`, and a manifest for each kind of checksum that all files have (Adler-32, which
    tools for bags may not know, only where there is no other).

    Raises InvalidRequest when no kind is everybody's; then there is no bag.
    """
    top = Path(folder)
    number = size = 0
    unknown = False
    manifests: dict[str, IO[bytes]] = {}
    counts: dict[str, int] = {}
    with told(folder):
        top.mkdir(parents=True)  # never into what is there
        (top / "data").mkdir()
        try:
            with (top / "fetch.txt").open("wb") as fetch:
                async for member in members:
                    path = _bag_path(member.lfn)
                    length = "-" if member.size is None else str(member.size)
                    fetch.write(f"{url(base, member.lfn)} {length} {path}\n".encode())
                    for kind, value in member.checksums.items():
                        if kind not in manifests:
                            manifests[kind] = (top / f"manifest-{kind}.txt").open("wb")
                        manifests[kind].write(f"{value} {path}\n".encode())
                        counts[kind] = counts.get(kind, 0) + 1
                    number += 1
                    size += member.size or 0
                    unknown |= member.size is None
        finally:
            for file in manifests.values():
                file.close()
        whole = [kind for kind in manifests if counts[kind] == number]
        whole = [kind for kind in whole if kind in _IANA] or whole  # others only where bags' tools have nothing else
        for kind in manifests.keys() - set(whole):
            (top / f"manifest-{kind}.txt").unlink()
        if number and not whole:
            (top / "fetch.txt").unlink()
            (top / "data").rmdir()
            top.rmdir()
            has = ", ".join(f"{counts[k]} have {k}" for k in sorted(counts)) or "none has any"
            raise InvalidRequest(f"a bag needs one kind of checksum of all its {number} files: {has}")
        if not number:
            (top / "manifest-sha256.txt").touch()
        (top / "bagit.txt").write_bytes(b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n")
        oxum = "" if unknown else f"Payload-Oxum: {size}.{number}\n"
        (top / "bag-info.txt").write_text(f"Bag-Software-Agent: lading\n{oxum}", encoding="utf-8")
    return number


def _bag_path(lfn: str) -> str:
    """The place in the bag. A percent sign is written as its escape, as RFC 8493 has it (2.1.3)."""
    return "data" + lfn.replace("%", "%25")
