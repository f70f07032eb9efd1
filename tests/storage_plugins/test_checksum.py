"""lading.model.checksum: right values in any pieces, one written form."""

from __future__ import annotations

import hashlib
import subprocess
import zlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.model import checksum
from lading.model.checksum import KINDS, Digest, differing, from_decimal, kind, normalise

if TYPE_CHECKING:
    from pathlib import Path

CHECK = b"123456789"
# The check values of the CRC catalogue (reveng), RFC 3720 B.4, RFC 1321, FIPS 180.
KNOWN = {
    "adler32": "091e01de",
    "crc32": "cbf43926",
    "crc32c": "e3069283",
    "md5": "25f9e794323b453885f5181f1b624d0b",
    "sha1": "f7c3bc1d808e04732adf679965ccc34ca7ae3441",
    "sha256": "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225",
    "sha512": hashlib.sha512(CHECK).hexdigest(),
    "cksum": f"{930766865:08x}",
}


def of(data: bytes, *kinds: str) -> dict[str, str]:
    digest = Digest(kinds)
    digest.update(data)
    return digest.result()


def test_known_values_in_one_pass() -> None:
    assert of(CHECK, *KINDS) == KNOWN
    assert list(of(b"", *KINDS)) == list(KINDS)
    assert of(b"", "adler32", "crc32c", "cksum") == {"adler32": "00000001", "crc32c": "00000000", "cksum": "ffffffff"}


def test_crc32c_of_the_rfc() -> None:
    assert of(bytes(32), "crc32c") == {"crc32c": "8a9136aa"}
    assert of(b"\xff" * 32, "crc32c") == {"crc32c": "62a8ab43"}
    assert of(bytes(range(32)), "crc32c") == {"crc32c": "46dd794e"}


@given(st.binary(max_size=64), st.integers(0, 20_000), st.lists(st.integers(0, 20_064), max_size=5))
def test_pieces_do_not_matter(seed: bytes, repeat: int, cuts: list[int]) -> None:
    data = (seed * (repeat // max(1, len(seed)) + 1))[: repeat + len(seed)]
    whole, pieces = Digest(KINDS), Digest(KINDS)
    whole.update(data)
    for start, stop in zip([0, *sorted(cuts)], [*sorted(cuts), len(data)], strict=True):
        pieces.update(memoryview(data)[start:stop])
    assert pieces.result() == whole.result()
    assert pieces.size == whole.size == len(data)
    assert whole.result()["crc32"] == f"{zlib.crc32(data):08x}"


@given(st.binary(max_size=30), st.integers(0, 60_000), st.integers(0, 2**32 - 1))
def test_folded_crc32c_is_the_plain_one(seed: bytes, size: int, value: int) -> None:
    data = ((seed or b"\0") * (size // max(1, len(seed)) + 1))[:size]
    register = value ^ 0xFFFFFFFF
    for byte in data:
        register ^= byte
        register = checksum._crc32c_table()[register & 0xFF] ^ (register >> 8)
    assert checksum._crc32c(memoryview(data), value) == register ^ 0xFFFFFFFF


def test_cksum_is_the_tool_s(tmp_path: Path) -> None:
    for size in (0, 1, 255, 256, 70_001):
        data = bytes(n * 7 % 251 for n in range(size))
        (tmp_path / "f").write_bytes(data)
        printed = subprocess.run(["cksum", str(tmp_path / "f")], capture_output=True, text=True, check=True).stdout
        assert of(data, "cksum")["cksum"] == from_decimal(printed.split()[0])


def test_written_form() -> None:
    assert normalise("adler32", "0x1E01DE") == "001e01de"
    assert normalise("Adler-32", " 91E01DE ") == "091e01de"
    assert normalise("crc32c", "000000000000a") == "0000000a"
    assert normalise("adler32", "0") == "00000000"
    assert normalise("MD5", KNOWN["md5"].upper()) == KNOWN["md5"]
    for name in KINDS:
        assert normalise(name, KNOWN[name]) == KNOWN[name]
    assert from_decimal("222424060") == "0d41ebfc"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("md5", "25f9"),
        ("md5", ""),
        ("adler32", ""),
        ("adler32", "0x"),
        ("adler32", "123456789"),
        ("crc32", "zz"),
        ("sha1", "g" * 40),
        ("md5", "x" * 10000),
        ("adler32", "-1"),
        ("adler32", "1_0"),
        ("crc32", "０１"),
    ],
)
def test_what_is_no_checksum(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"{name} .* is not .* hexadecimal digits") as raised:
        normalise(name, value)
    assert len(str(raised.value)) < 300


def test_what_is_no_kind_and_no_decimal() -> None:
    with pytest.raises(ValueError, match="did you mean sha256"):
        kind("sha265")
    with pytest.raises(ValueError, match="there are adler32"):
        Digest(["nothing like it"])
    for value in ("", "x", "-1", "4294967296", "9" * 5000, "١٢"):
        with pytest.raises(ValueError, match="is not a decimal number"):
            from_decimal(value)


def test_differing() -> None:
    assert differing({"md5": "a", "sha1": "b"}, {"md5": "a"}) == []
    assert differing({"md5": "a", "sha1": "b"}, {"sha1": "c", "md5": "a"}) == ["sha1"]
