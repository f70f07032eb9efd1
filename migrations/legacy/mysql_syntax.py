"""The corner of MySQL's SQL that dumps are written in, as regular expressions over bytes."""

from __future__ import annotations

import re
from dataclasses import dataclass

STRING = rb"'(?:[^'\\]++|\\.|'')*+'"
QUOTED = rb'"(?:[^"\\]++|\\.|"")*+"'
# One whole statement and its `;`. Comments of every kind are passed over, also the executable ones: /*!40101 ... */.
STATEMENT = re.compile(
    rb"(?:[^;'\"`/#-]++|" + STRING + rb"|" + QUOTED + rb"|`[^`]*+`|/\*.*?\*/|--[ \t\r\n][^\n]*+|#[^\n]*+|[/-])*+;", re.S
)
INSERT = re.compile(
    rb"(?:INSERT|REPLACE)\s+(?:(?:LOW_PRIORITY|DELAYED|HIGH_PRIORITY|IGNORE)\s+)*(?:INTO\s+)?"
    rb"(?:[`\"]?\w+[`\"]?\.)?[`\"]?(\w+)[`\"]?\s*(?:\(([^()]*)\)\s*)?VALUES\s*(?=\()",
    re.I,
)
# What a complete row looks like, whatever is in it.
ANY_ROW = rb"\((?:[^'\"()]++|" + STRING + rb"|" + QUOTED + rb")*+\)"
_CELL = re.compile(
    rb"\s*+(?:(?:_\w+\s*+)?(?:'((?:[^'\\]++|\\.|'')*+)'|\"((?:[^\"\\]++|\\.|\"\")*+)\"|[xX]'([0-9A-Fa-f]*+)'|0x([0-9A-Fa-f]++))"
    rb"|(NULL)|([-+]?[0-9.]++(?:[eE][-+]?[0-9]++)?))\s*+([,)])",
    re.S | re.I,
)
_ESCAPE = {q: re.compile(rb"\\(.)|" + q + q, re.S) for q in (b"'", b'"')}
_ESCAPES = {b"0": b"\0", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"Z": b"\x1a", b"%": b"\\%", b"_": b"\\_"}
_COLUMN = re.compile(
    rb"^\s*(?:[`\"]([^`\"]+)[`\"]|(?!(?:PRIMARY|UNIQUE|KEY|INDEX|FULLTEXT|SPATIAL|CONSTRAINT|FOREIGN|CHECK)\b)(\w+))\s+(\w+)([^\n]*)$",
    re.M | re.I,
)
_CREATE = re.compile(rb"CREATE\s+TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?(?:[`\"]?\w+[`\"]?\.)?[`\"]?(\w+)[`\"]?\s*\(", re.I)
_CHARSET = re.compile(rb"(?:CHARACTER SET|CHARSET)[ =]+(\w+)", re.I)
SET_NAMES = re.compile(rb"SET\s+NAMES\s+'?(\w+)", re.I)


@dataclass(slots=True, frozen=True)
class Column:
    """`charset` is what the server stores the column in; None for a column whose bytes no client converts."""

    name: str
    charset: str | None
    integer: bool = False


def create_table(statement: bytes) -> tuple[str, list[Column]] | None:
    """(table, columns) of a CREATE TABLE statement; None for any other."""
    head = _CREATE.search(statement)
    if head is None:
        return None
    tail = statement[statement.rfind(b")") :]
    default = _CHARSET.search(tail)
    columns = []
    for quoted, bare, kind, rest in _COLUMN.findall(statement, head.end(), len(statement) - len(tail)):
        own = _CHARSET.search(rest) or default
        charset: str | None = own[1].decode().lower() if own else "unknown"
        if not re.search(rb"char|text|enum|set$", kind, re.I) or charset == "binary":
            charset = None
        columns.append(Column((quoted or bare).decode("latin-1"), charset, kind.lower().endswith(b"int")))
    return head[1].decode(), columns


def column_list(text: bytes) -> list[str]:
    """The names in an INSERT's column list."""
    return [part.strip().strip(b'`"').decode("latin-1") for part in text.split(b",")]


def unescape(text: bytes, quote: bytes = b"'") -> bytes:
    """A string literal's content without its escapes."""
    return _ESCAPE[quote].sub(lambda m: quote if m[1] is None else _ESCAPES.get(m[1], m[1]), text)


def cells(row: bytes) -> list[bytes | None] | None:
    """The cells of one row `(...)`, unescaped; None when it is not a list of literals."""
    found: list[bytes | None] = []
    at = 1
    while m := _CELL.match(row, at):
        single, double, hexa, ox, null, number, end = m.groups()
        if single is not None:
            found.append(unescape(single) if b"\\" in single or b"'" in single else single)
        elif number is not None:
            found.append(number)
        elif null is not None:
            found.append(None)
        elif double is not None:
            found.append(unescape(double, b'"'))
        else:
            try:
                found.append(bytes.fromhex((hexa if hexa is not None else ox).decode()))
            except ValueError:
                return None
        at = m.end()
        if end == b")":
            return found if at == len(row) else None
    return None
