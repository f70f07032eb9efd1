"""Checksums: their kinds, their one written form, and many of them in one pass over the bytes.

The written form is lower-case hexadecimal of full width, for `cksum` too (POSIX 1003.1 `cksum`, whose tool and the
LFC's type CS print decimal: see `from_decimal`). adler32 and crc32 are zlib-ng's; google-crc32c is used when installed:
faster, the same values.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib
import re
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

WIDTH = {
    "adler32": 8,
    "crc32": 8,
    "crc32c": 8,
    "cksum": 8,
    "md5": 32,
    "sha1": 40,
    "sha256": 64,
    "sha512": 128,
}  # hexadecimal digits
KINDS = tuple(WIDTH)
_HEX = re.compile(r"[0-9a-f]+")


def kind(name: str) -> str:
    """The kind `name` means: `SHA-256` is `sha256`. Raises ValueError, naming the kinds there are."""
    plain = name.lower().replace("-", "").replace("_", "")
    if plain in WIDTH:
        return plain
    close = difflib.get_close_matches(plain, KINDS, n=1)
    hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(KINDS)}"
    raise ValueError(f"{name[:40]!r} is no kind of checksum: {hint}")


def normalise(kind_name: str, value: str) -> str:
    """The written form of `value`: upper case, `0x` and (kinds of 8 digits) lost leading zeros are put right.

    Raises ValueError naming the kind and what it should look like.
    """
    name = kind(kind_name)
    width = WIDTH[name]
    text = value.strip().lower().removeprefix("0x")
    if width == 8 and text:
        text = text.lstrip("0").rjust(8, "0")
    if len(text) == width and _HEX.fullmatch(text):
        return text
    raise ValueError(f"{name} {value[:140]!r} is not {width} hexadecimal digits")


def from_decimal(value: str) -> str:
    """A 32-bit checksum printed in decimal (by `cksum`, in the LFC) in the written form. Raises ValueError."""
    text = value.strip()
    if not (text.isascii() and text.isdigit()) or len(text) > 20 or int(text) >= 1 << 32:
        raise ValueError(f"{value[:40]!r} is not a decimal number below 2^32")
    return f"{int(text):08x}"


def differing(expected: Mapping[str, str], actual: Mapping[str, str]) -> list[str]:
    """The kinds that both tell of and that differ. Both in written form."""
    return [name for name, value in expected.items() if actual.get(name, value) != value]


class _Hash(Protocol):
    def update(self, data: memoryview, /) -> None: ...
    def hexdigest(self) -> str: ...


class _Crc:
    """A function (bytes, value so far) -> value, with the face of a hashlib object."""

    def __init__(self, step: Callable[[memoryview, int], int], start: int = 0) -> None:
        self._step = step
        self.value = start

    def update(self, data: memoryview, /) -> None:
        self.value = self._step(data, self.value)

    def hexdigest(self) -> str:
        return f"{self.value & 0xFFFFFFFF:08x}"


class Digest:
    """Several checksums of one stream. `size` is the number of bytes so far. Not for two threads at once."""

    def __init__(self, kinds: Iterable[str]) -> None:
        """Raises ValueError for an unknown kind."""
        self._hashes = {name: _new(name) for name in map(kind, kinds)}
        self.size = 0

    def update(self, data: bytes | bytearray | memoryview) -> None:
        view = memoryview(data)
        self.size += view.nbytes
        for running in self._hashes.values():
            running.update(view)

    def result(self) -> dict[str, str]:
        """{kind: hex} of all bytes so far, in the order of the kinds; more may follow."""
        return {name: running.hexdigest() for name, running in self._hashes.items()}


def _new(name: str) -> _Hash:
    if name == "adler32":
        return _Crc(_zlib().adler32, 1)
    if name == "crc32":
        return _Crc(_zlib().crc32)
    if name == "crc32c":
        return _Crc(_crc32c_step())
    if name == "cksum":
        return _Cksum()
    return hashlib.new(name, usedforsecurity=False)


def _optional(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        return None


@cache
def _zlib() -> Any:
    return importlib.import_module("zlib_ng.zlib_ng")  # when the first sum is wanted, not when lading is imported


class _Cksum:
    """CRC-32 most significant bit first, from 0, over the bytes and then their count: zlib's, with every byte
    mirrored."""

    def __init__(self) -> None:
        self._value = 0xFFFFFFFF
        self._size = 0

    def update(self, data: memoryview, /) -> None:
        self._size += data.nbytes
        self._value = _zlib().crc32(data.tobytes().translate(_MIRRORED), self._value)

    def hexdigest(self) -> str:
        length = self._size.to_bytes((self._size.bit_length() + 7) // 8, "little")
        value = _zlib().crc32(length.translate(_MIRRORED), self._value)
        return f"{int(f'{value:032b}'[::-1], 2):08x}"


_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


@cache
def _crc32c_step() -> Callable[[memoryview, int], int]:
    native = _optional("google_crc32c")
    if native is None:
        return _crc32c
    return lambda data, value: native.extend(value, data.tobytes())


# CRC-32C (RFC 3720 B.4) without C. Modulo its polynomial x^6777 = x^484 + x^100 + 1 (found by search; squaring gives
# the same relation for every 6777 * 2^k), so the leading part of a message can be added further down by shifts of long
# integers, which Python does at memory speed; a table ends the last few hundred bytes.
_A, _B, _C = 6777, 484, 100


def _crc32c(data: memoryview, value: int) -> int:
    register = value ^ 0xFFFFFFFF
    bits = data.nbytes * 8
    if bits > 2 * _A:
        # Bit 0 of a little-endian integer is the message's first bit, that is its highest power.
        message = int.from_bytes(data, "little") ^ register
        register = 0
        while bits > 2 * _A:
            scale = 1 << ((bits // (2 * _A)).bit_length() - 1)
            cut = min(scale * (_A - _B), bits - scale * _A) & ~7
            head = message & ((1 << cut) - 1)
            message >>= cut
            for lower in (_B, _C, 0):
                message ^= head << (scale * (_A - lower) - cut)
            bits -= cut
        data = memoryview(message.to_bytes(bits // 8, "little"))
    table = _crc32c_table()
    for byte in data:
        register = table[(register ^ byte) & 0xFF] ^ (register >> 8)
    return register ^ 0xFFFFFFFF


@cache
def _crc32c_table() -> list[int]:
    table = []
    for byte in range(256):
        entry = byte
        for _ in range(8):
            entry = (entry >> 1) ^ (0x82F63B78 if entry & 1 else 0)
        table.append(entry)
    return table
