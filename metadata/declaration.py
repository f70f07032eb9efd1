"""What a declaration says: its checks, its row, what a change makes of it. No SQL, no I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import UNSET, structs

from catalog.access.rights import require_governor
from lading.model import lfn
from lading.model.errors import CatalogError, InvalidRequest
from lading.model.field import Field, FieldSpec, FieldType

from .rules import check_spec
from .types import store

if TYPE_CHECKING:
    from lading.model.metadata import FieldChange
    from lading.model.principal import Principal


def is_vo(name: str) -> bool:
    """Can there be a top-level directory of this name?"""
    try:
        return bool(name) and lfn.component(name) == name
    except CatalogError:
        return False


def same(one: FieldSpec, other: FieldSpec) -> bool:
    """Do they declare the same? Whether it is indexed is no part of it."""

    def said(spec: FieldSpec) -> tuple[Any, ...]:
        return spec.type, spec.unit, spec.description, spec.pattern, sorted(spec.required_below), _stored_rules(spec)

    return said(one) == said(other)


def columns(who: Principal, spec: FieldSpec) -> dict[str, Any]:
    """The columns of a field, checked. Raises InvalidRequest, Forbidden."""
    if not is_vo(spec.vo):
        raise InvalidRequest(f"'{lfn.shown(spec.vo, 80)}' is no VO: name a top-level directory", field=spec.name[:80])
    require_governor(who, f"/{spec.vo}")
    check_spec(spec)
    below = sorted({lfn.parse(path) for path in spec.required_below})
    for path in below:
        if lfn.vo(path) != spec.vo:
            raise InvalidRequest(f"'{lfn.shown(path)}' is not in '{spec.vo}'", field=spec.name, lfn=lfn.shown(path))
    return {
        "vo": spec.vo, "name": spec.name, "type": spec.type.value, "unit": spec.unit, "description": spec.description,
        "pattern": spec.pattern, "required_below": below, **_stored_rules(spec),
    }  # fmt: skip


def _stored_rules(spec: FieldSpec) -> dict[str, Any]:
    low, high = (None if v is None else store(spec.type, v, spec.name) for v in (spec.minimum, spec.maximum))
    return {"allowed": [store(spec.type, v, spec.name) for v in spec.allowed], "minimum": low, "maximum": high}


def changed(old: Field, body: FieldChange) -> Field:
    """The field after the change; its rules go along to a new type. Raises InvalidRequest."""
    plain = {k: getattr(body, k) for k in ("name", "unit", "description", "required_below")}
    changes: dict[str, Any] = {k: v for k, v in plain.items() if v is not None}
    kind = body.type or old.type
    if kind is not old.type:
        changes |= {"type": kind} | _rules_of(old, kind)
    for key in ("allowed", "pattern", "minimum", "maximum"):
        given = getattr(body, key)
        if given is not UNSET:
            changes[key] = given if key != "allowed" or given is not None else []
    return structs.replace(old, **changes)


def _rules_of(old: Field, kind: FieldType) -> dict[str, Any]:
    """The rules of a field for its wider type."""
    if kind is FieldType.TIMESTAMP:
        start = {k: getattr(old, k) for k in ("minimum", "maximum")}
        return {k: f"{v}T00:00:00Z" for k, v in start.items() if v is not None} | {
            "allowed": [f"{v}T00:00:00Z" for v in old.allowed]
        }
    if kind is FieldType.STRING:
        return {"allowed": [_text(v) for v in old.allowed], "minimum": None, "maximum": None}
    if kind is FieldType.JSON:
        return {"allowed": [], "minimum": None, "maximum": None, "pattern": None}
    return {}


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
