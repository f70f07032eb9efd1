"""Metadata on the wire: values of names, changes of fields, open trees; and the limits of values."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from .errors import InvalidRequest
from .field import Field, FieldSpec, FieldType
from .file import Kind, Metadata

_DryRun = Annotated[bool, Meta(description="do everything, then undo it: the answer is what would have been")]


class _Body(Struct, omit_defaults=True, forbid_unknown_fields=True):
    pass


class NameValues(_Body):
    """Values for one name, in their shown form (see FieldType); null takes a value away."""

    lfn: str
    values: Metadata


class SetMetadata(_Body):
    """POST /v1/metadata -> Outcomes[None]. Values that are not named stay, unless `replace`: then they go."""

    items: list[NameValues]
    replace: bool = False
    dry_run: _DryRun = False


class Overridden(Struct):
    """What would be inherited from the directory `lfn` if there were no own value."""

    lfn: str
    value: Any


class Described(Struct, omit_defaults=True):
    """What holds for a name (`values`), and where each value comes from.

    `own` are the fields set on the name itself; `inherited` tells for each of the others the directory it was set on;
    `overridden` what the own ones hide.
    """

    lfn: str
    kind: Kind = Kind.FILE
    values: Metadata = {}
    own: list[str] = []
    inherited: dict[str, str] = {}
    overridden: dict[str, Overridden] = {}


class MirrorMetadata(_Body):
    """POST /v1/metadata/mirror -> Outcomes[Mirrored]: what the catalogue knows of files to the element `se` that has
    them, or `back` from it."""

    se: str
    lfns: list[str]
    back: bool = False
    dry_run: _DryRun = False


class Mirrored(Struct, omit_defaults=True):
    """What was taken over, as texts of the storage; `ignored` are its keys that are no declared fields."""

    values: dict[str, str] = {}
    ignored: list[str] = []


class DeclareFields(_Body):
    """POST /v1/fields -> Outcomes[Field]. The same declaration again is a success; another one of that name a
    conflict."""

    fields: list[FieldSpec]
    dry_run: _DryRun = False


class FieldChange(_Body):
    """PATCH /v1/fields/{vo}/{name} -> FieldEffect. What is absent stays; null takes a rule away.

    A new `name` goes along to every value. A new `type` must be a wider one: int -> float, date -> timestamp, and
    string or json from any other where every stored value fits. Both need the index off. Rules bind what is set from
    now on.
    """

    name: str | None = None
    type: FieldType | None = None
    unit: str | None = None
    description: str | None = None
    allowed: list[Any] | UnsetType | None = UNSET
    pattern: str | UnsetType | None = UNSET
    minimum: int | float | str | UnsetType | None = UNSET
    maximum: int | float | str | UnsetType | None = UNSET
    required_below: list[str] | None = None
    recount: Annotated[
        bool,
        Meta(description="count the values there are: searches look for a field where it was ever set, until then"),
    ] = False
    dry_run: _DryRun = False


class FieldIndex(_Body):
    """POST /v1/fields/{vo}/{name}/index -> Field. Built or dropped while everybody works on: `index_state` tells how
    far."""

    on: bool


class FieldEffect(Struct, omit_defaults=True):
    """What a change of a field came to: how many files and directories had a value of their own that went along, or
    went."""

    field: Field
    files: int = 0
    directories: int = 0
    dry_run: bool = False


class OpenTree(_Body):
    """A directory below which (itself included) undeclared keys are kept, as JSON."""

    lfn: str
    dry_run: _DryRun = False


MAX_BYTES = 65_536
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,126}")


@lru_cache(4096)
def _is_key(text: str) -> bool:
    return _KEY.fullmatch(text) is not None


def check_metadata(values: dict[str, Any]) -> dict[str, Any]:
    """The values. Raises InvalidRequest for a bad key or more than 64 KiB."""
    for key, value in values.items():
        if not _is_key(key):
            raise InvalidRequest(
                f"{key[:80]!a} is not a metadata key: letters, digits and _ . - only, at most 127", key=key[:80]
            )
        if isinstance(value, str) and "\x00" in value:
            raise InvalidRequest(f"the value of '{key}' holds a NUL, which can't be stored", key=key)
    encoded = msgspec.json.encode(values)
    if len(encoded) > MAX_BYTES:
        raise InvalidRequest(f"the metadata of one file is at most {MAX_BYTES} bytes")
    if b"\\u0000" in encoded.replace(b"\\\\", b""):  # an escaped backslash before a plain u0000 is no NUL
        raise InvalidRequest("metadata holds a NUL, which can't be stored")
    return values
