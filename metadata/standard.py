"""The fields that every file and directory has without anybody declaring them. A declared field can't take their names.

In a `Record` (and wherever else a value of one is needed in stored form): times are microseconds, `guid` and checksums
are in their written form, a field of `many` is a collection of texts, and what a record has not is absent or None.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lading.model import checksum as checksums
from lading.model import guid, lfn
from lading.model.field import FieldType
from lading.model.file import FileStatus, Kind
from lading.model.replica import ReplicaState

from .operators import ALL, CHOICE, NAMES, ORDERED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .language.tree import Op


@dataclass(frozen=True, slots=True)
class StandardField:
    """`many`: the field has any number of values. `choices`: the only values there are. `normalise` puts an operand of
    `=`, `!=`, `in` and `not in` into stored form; it raises InvalidRequest or ValueError."""

    name: str
    type: FieldType
    operators: tuple[Op, ...]
    description: str
    example: str
    many: bool = False
    choices: tuple[str, ...] = ()
    normalise: Callable[[str], str] | None = None


def _any_checksum(text: str) -> str:
    """Hexadecimal of the width of some kind; lost leading zeros of the 8-digit ones are put back."""
    for kind in ("adler32", "md5", "sha1", "sha256", "sha512"):
        try:
            return checksums.normalise(kind, text)
        except ValueError:
            continue
    raise ValueError(f"'{lfn.shown(text, 140)}' is no checksum: 8, 32, 40, 64 or 128 hexadecimal digits")


def _checksum(kind: str) -> StandardField:
    digits = "…"
    return StandardField(
        kind,
        FieldType.STRING,
        CHOICE,
        f"the {kind} checksum, in hexadecimal",
        f'"{"0" * 7}1"' if checksums.WIDTH[kind] == 8 else f'"d41d8cd9{digits}"',
        normalise=lambda text: checksums.normalise(kind, text),
    )


def _extension(text: str) -> str:
    return text.removeprefix(".")


_FIELDS = (
    StandardField("lfn", FieldType.STRING, ALL, "the whole logical file name", '"/vo/dir/file"', normalise=lfn.parse),
    StandardField("name", FieldType.STRING, ALL, "the last component of the LFN", '"scan.nii.gz"'),
    StandardField(
        "dir", FieldType.STRING, ALL, "the LFN of the directory it lies in", '"/vo/dir"', normalise=lfn.parse
    ),
    StandardField("ext", FieldType.STRING, ALL, "what follows the last dot of the name", '"gz"', normalise=_extension),
    StandardField("size", FieldType.INT, ORDERED, "bytes; directories have none", "10 MB"),
    StandardField(
        "guid",
        FieldType.STRING,
        CHOICE,
        "the GUID",
        '"0190a0b2-7c3d-7e4f-8a1b-2c3d4e5f6071"',
        normalise=guid.canonical,
    ),
    StandardField(
        "checksum", FieldType.STRING, CHOICE, "its checksums, of any kind", '"0a1b2c3d"', True, normalise=_any_checksum
    ),
    *(_checksum(kind) for kind in checksums.KINDS),
    StandardField("owner", FieldType.STRING, ALL, "the name of the user who owns it", '"alice"'),
    StandardField("group", FieldType.STRING, ALL, "the name of the group that owns it", '"biomed"'),
    StandardField("ctime", FieldType.TIMESTAMP, ORDERED, "when it was registered", "2024-01-31"),
    StandardField("mtime", FieldType.TIMESTAMP, ORDERED, "when its entry last changed", "now - 7d"),
    StandardField(
        "status", FieldType.STRING, CHOICE, "the file's status", '"ok"', choices=tuple(s.value for s in FileStatus)
    ),
    StandardField("kind", FieldType.STRING, CHOICE, "what it is", '"file"', choices=tuple(k.value for k in Kind)),
    StandardField("se", FieldType.STRING, NAMES, "the elements that hold a replica", '"disk-lyon"', True),
    StandardField("replicas", FieldType.INT, ORDERED, "how many replicas there are", "2"),
    StandardField(
        "state",
        FieldType.STRING,
        CHOICE,
        "the states of its replicas",
        '"available"',
        True,
        tuple(s.value for s in ReplicaState),
    ),
    StandardField("comment", FieldType.STRING, ALL, "the comment", '"*test*"'),
)
STANDARD: dict[str, StandardField] = {f.name: f for f in _FIELDS}
ALIASES = {"path": "lfn"}


def find(name: str) -> StandardField | None:
    """The standard field of this name or alias."""
    return STANDARD.get(ALIASES.get(name, name))


def extension(name: str) -> str | None:
    """`ext` of a file of this name: `gz` of `a.nii.gz`; none of `README`, `.profile` and `a.`."""
    stem, dot, ext = name.rpartition(".")
    return ext if dot and stem and ext else None


def checksum_values(known: Mapping[str, str]) -> dict[str, Any]:
    """The standard values of a file's checksums, {kind: hex}: each kind, and `checksum` for any of them."""
    return {**known, "checksum": tuple(known.values())}
