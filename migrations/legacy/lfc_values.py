"""How single values of an LFC are judged: names, checksums, SFNs. Pure functions of bytes."""

from __future__ import annotations

import re

from .charset import to_text

# The names nobody needs to look at: this pattern decides how fast an import is.
plain_name = re.compile(rb"(?=.{1,254}$)(?!NULL)[A-Za-z0-9_](?:-?[\w.,=@: ])*+(?<! )").fullmatch
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SQL = re.compile(
    rb"--|/\*|\*/|\),\(|'\)|`|;\s*(?:DROP|INSERT|DELETE|UPDATE|SELECT)\b|^(?:NULL|\\N)(?![A-Za-z0-9])", re.I
)
_URL = re.compile(rb"%[0-9A-Fa-f]{2}|[#;&+]|\?[^?]*=")
_GLOB = re.compile(rb"[*?\[\]{}$~%]")
hex8 = re.compile(rb"[0-9a-f]{8}").fullmatch
guid_lower = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").fullmatch
sfn_parts = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://([^/:?#]+)(?::\d*)?/", re.S).match
acl_text = re.compile(rb"[A-Fa-f][0-7]\d{1,10}(?:,[A-Fa-f][0-7]\d{1,10})*").fullmatch  # ids are of 32 bits


def escape_controls(text: str) -> str:
    """Control characters, which lading has in no name, as %0A and the like."""
    return _CONTROL.sub(lambda m: "".join(f"%{b:02X}" for b in _byte(m[0])), text)


def _byte(char: str) -> bytes:
    return bytes([ord(char)])  # all of them are below U+00A0, and the stray bytes of latin1 kept their value


def name(data: bytes, *, is_file: bool, latin1: bool) -> tuple[bytes, list[str]]:
    """(name as UTF-8 fit for lading, codes). The first code is the one that says most of what is odd about it."""
    text, how = to_text(data)
    clean = escape_controls(text)
    code = _name_code(data, how, is_file, latin1)
    codes = [code] if code else []
    if clean != text and code not in ("name_newline", "name_tab_or_ctrl", "name_cp1252_undefined"):
        codes.append("name_escaped")
    encoded = clean.encode()
    if len(encoded) > 255:
        codes.append("name_too_long")
    return encoded, codes


def _name_code(data: bytes, how: str, is_file: bool, latin1: bool) -> str | None:
    if not data:
        return "name_empty"
    if data in (b".", b".."):
        return "name_dot"
    if b"/" in data:
        return "name_has_slash"
    if _SQL.search(data):
        return "name_sql_like"
    if b"\n" in data:
        return "name_newline"
    if re.search(rb"[\x00-\x1f\x7f]", data):
        return "name_tab_or_ctrl"
    if how != "utf8":
        return "name_latin1" if how == "latin1" else "name_cp1252_undefined"
    if not data.isascii() and latin1:
        return "name_utf8_in_latin1"
    if b"\\" in data:
        return "name_backslash_zero" if b"\\0" in data else "name_backslash"
    if b'"' in data:
        return "name_double_quote"
    if b"'" in data:
        return "name_single_quote"
    if data[:1] == b" " or data[-1:] == b" ":
        return "name_edge_space"
    if is_file and _URL.search(data):
        return "name_url_chars"
    if is_file and _GLOB.search(data):
        return "name_glob_chars"
    if is_file and len(data) == 255:
        return "name_255_bytes"
    return None


def checksum(kind: bytes, value: bytes) -> tuple[bytes | None, bytes | None, str | None]:
    """(adler32 as 8 hex digits, other as 'md5:…', code) of csumtype and csumvalue. CS is POSIX cksum, in decimal."""
    if not kind and not value:
        return None, None, None
    if not value:
        return None, None, "csum_type_no_value"
    if not kind:
        return None, None, "csum_value_no_type"
    upper = kind.upper()
    if upper not in (b"AD", b"MD", b"CS"):
        return None, None, "csum_type_unknown"
    code = "csum_type_lower" if upper != kind else None
    if upper == b"CS":
        if not re.fullmatch(rb"\d{1,10}", value) or int(value) >= 2**32:
            return None, None, "csum_not_hex"
        return None, b"cksum:%08x" % int(value), code
    digits = value.lower()
    if upper == b"AD" and digits.startswith(b"0x"):
        digits, code = digits[2:], code or "csum_ad_0x"
    if not re.fullmatch(rb"[0-9a-f]+", digits):
        return None, None, "csum_not_hex"
    if upper == b"MD":
        return (None, b"md5:" + digits, code) if len(digits) == 32 else (None, None, "csum_type_mismatch")
    if len(digits) > 8:
        return None, None, "csum_type_mismatch"
    if len(digits) < 8:
        code = code or "csum_ad_short"
    elif digits != value and digits == value.lower():
        code = code or "csum_ad_upper"
    return digits.rjust(8, b"0"), None, code


def pfn(sfn: bytes) -> tuple[bytes, list[str]]:
    """(PFN as UTF-8 fit for lading, codes) of an SFN."""
    codes = []
    bare = sfn.rstrip(b"\0")
    if bare != sfn:
        codes.append("replica_sfn_trailing_nul")
    text, _ = to_text(bare)
    clean = escape_controls(text)
    if clean != text:
        codes.append("replica_sfn_escaped")
    if b" " in bare or not bare.isascii():
        codes.append("replica_sfn_blank")
    if not bare or len(clean) > 4096 or ".." in clean.split("/"):
        codes.append("replica_sfn_refused")
    return clean.encode(), codes
