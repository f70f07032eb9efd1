"""Values by type: what is stored, what is shown, what is refused; and what a declaration lets in."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.model.errors import InvalidRequest
from lading.model.field import Field, FieldSpec, FieldType
from metadata.moments import MAX_DAY, MAX_TIME, MIN_DAY, MIN_TIME, show_date, show_time
from metadata.quantities import parse_size, show_size
from metadata.rules import check_name, check_spec, checker
from metadata.types import MAX_JSON_DEPTH, show, store

T = FieldType


@pytest.mark.parametrize(
    ("type_", "given_", "stored", "shown"),
    [
        (T.INT, 3, 3, 3),
        (T.INT, 3.0, 3, 3),
        (T.INT, 2**63 - 1, 2**63 - 1, 2**63 - 1),
        (T.INT, -(2**63), -(2**63), -(2**63)),
        (T.FLOAT, 3, 3.0, 3.0),
        (T.FLOAT, -0.0, 0.0, 0.0),
        (T.FLOAT, 1e308, 1e308, 1e308),
        (T.BOOL, False, False, False),
        (T.STRING, "", "", ""),
        (T.STRING, "é\n日", "é\n日", "é\n日"),
        (T.TIMESTAMP, "1970-01-01T00:00:01Z", 1_000_000, "1970-01-01T00:00:01Z"),
        (T.TIMESTAMP, "1970-01-01T02:00:00.000001+02:00", 1, "1970-01-01T00:00:00.000001Z"),
        (T.TIMESTAMP, 1_000_000, 1_000_000, "1970-01-01T00:00:01Z"),
        (T.TIMESTAMP, "1970-01-02", 86_400_000_000, "1970-01-02T00:00:00Z"),
        (T.TIMESTAMP, "0001-01-01T00:00:00Z", MIN_TIME, "0001-01-01T00:00:00Z"),
        (T.TIMESTAMP, "9999-12-31T23:59:59.999999Z", MAX_TIME, "9999-12-31T23:59:59.999999Z"),
        (T.DATE, "1970-01-02", 1, "1970-01-02"),
        (T.DATE, "0001-01-01", MIN_DAY, "0001-01-01"),
        (T.DATE, "9999-12-31", MAX_DAY, "9999-12-31"),
        (T.JSON, {"a": [1, None, "x", {"b": True}]}, {"a": [1, None, "x", {"b": True}]}, {"a": [1, None, "x", {"b": True}]}),
        (T.JSON, False, False, False),
    ],
)  # fmt: skip
def test_stored_and_shown(type_: FieldType, given_: Any, stored: Any, shown: Any) -> None:
    assert store(type_, given_, "f") == stored
    assert type(store(type_, given_, "f")) is type(stored)
    assert math.copysign(1, stored) == math.copysign(1, store(type_, given_, "f")) if type_ is T.FLOAT else True
    assert show(type_, stored) == shown
    assert store(type_, shown, "f") == stored


WRONG: tuple[Any, ...] = (True, [1], {}, "x", "", math.nan, math.inf, 10**5000)


def _deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("type_", "given_"),
    [
        *((t, None) for t in T),
        *((t, v) for t in (T.INT, T.FLOAT, T.TIMESTAMP, T.DATE) for v in WRONG),
        (T.INT, 2**63),
        (T.INT, -(2**63) - 1),
        (T.INT, 1.5),
        (T.INT, 1e300),
        (T.INT, "3"),
        (T.FLOAT, "1.5"),
        (T.FLOAT, 2**64),
        (T.BOOL, 0),
        (T.BOOL, "true"),
        (T.STRING, 3),
        (T.STRING, "a\0b"),
        (T.STRING, "\ud800"),
        (T.TIMESTAMP, MAX_TIME + 1),
        (T.TIMESTAMP, MIN_TIME - 1),
        (T.TIMESTAMP, 1.0),
        (T.TIMESTAMP, "2024-02-30T00:00:00Z"),
        (T.TIMESTAMP, "2024-01-01T24:00:00Z"),
        (T.TIMESTAMP, "9999-12-31T23:59:59-01:00"),
        (T.TIMESTAMP, "2024-01-01T00:00:00Z\n"),
        (T.DATE, 3),
        (T.DATE, "2024-02-30"),
        (T.DATE, "0000-01-01"),
        (T.DATE, "10000-01-01"),
        (T.DATE, "2024-01-01T00:00:00Z"),
        (T.DATE, "२०२४-०१-०१"),
        (T.JSON, {"a": math.nan}),
        (T.JSON, [2**64]),
        (T.JSON, {"a\0": 1}),
        (T.JSON, ["\ud800"]),
        (T.JSON, {1: 2}),
        (T.JSON, object()),
        (T.JSON, _deep(MAX_JSON_DEPTH + 1)),
        (T.JSON, _deep(100_000)),
        (T.JSON, [0] * 10_001),
        (T.JSON, [[0] * 200] * 200),
    ],
    ids=lambda v: v.value if isinstance(v, FieldType) else type(v).__name__,
)  # fmt: skip
def test_refused_and_the_field_is_named(type_: FieldType, given_: Any) -> None:
    with pytest.raises(InvalidRequest, match="'f'") as caught:
        store(type_, given_, "f")
    assert caught.value.details["field"] == "f"
    assert len(caught.value.message) < 300
    assert caught.value.message.isprintable()


def test_json_as_deep_as_allowed() -> None:
    assert store(T.JSON, _deep(MAX_JSON_DEPTH), "f") == _deep(MAX_JSON_DEPTH)


@given(st.integers(MIN_TIME, MAX_TIME), st.integers(MIN_DAY, MAX_DAY), st.integers(0, 2**63 - 1))
def test_moments_and_sizes_come_back(stamp: int, day: int, size: int) -> None:
    assert store(T.TIMESTAMP, show_time(stamp), "f") == stamp
    assert store(T.DATE, show_date(day), "f") == day
    assert parse_size(show_size(size)) == size


@pytest.mark.parametrize("name", ["a", "_", "A.b-c_9", "x" * 127, "notes", "sizes"])
def test_field_names(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "can't name a field"),
        ("9a", "can't name a field"),
        ("a b", "can't name a field"),
        ("a\n", "can't name a field"),
        ("x" * 128, "at most 127"),
        ("а", "can't name a field"),  # Cyrillic
        ("paypаl", "can't name a field"),
        ("a`b", "can't name a field"),
        ('a"b', "can't name a field"),
        ("AND", "a word of the query language"),
        ("now", "a word of the query language"),
        ("size", "a standard field"),
        ("path", "a standard field"),
        ("sha256", "a standard field"),
    ],
)
def test_these_name_no_field(name: str, reason: str) -> None:
    with pytest.raises(InvalidRequest, match=reason) as caught:
        check_name(name)
    assert caught.value.message.isprintable()


def spec(type_: FieldType, **more: Any) -> FieldSpec:
    return FieldSpec("vo", "f", type_, **more)


@pytest.mark.parametrize(
    ("given_", "good", "bad"),
    [
        (spec(T.INT, minimum=1, maximum=3), [1, 2, 3, 3.0], [0, 4, True, "2"]),
        (spec(T.FLOAT, minimum=0.5), [0.5, 1], [0.4, -1]),
        (spec(T.STRING, allowed=["a", "b"]), ["a"], ["c", "A", ""]),
        (spec(T.STRING, pattern="^s[0-9]{3}$"), ["s001"], ["s1", "xs001", "s001\n"]),
        (spec(T.DATE, minimum="2024-01-01"), ["2024-01-01"], ["2023-12-31"]),
        (spec(T.TIMESTAMP, maximum="2024-01-01T00:00:00Z"), ["2024-01-01T00:00:00Z"], ["2024-01-01T00:00:00.000001Z"]),
        (spec(T.INT, allowed=[1, 2], maximum=5), [2], [3]),
        (spec(T.BOOL), [True], [1]),
    ],
)  # fmt: skip
def test_rules(given_: FieldSpec, good: list[Any], bad: list[Any]) -> None:
    check = checker(check_spec(given_))
    for value in good:
        assert check(value) == store(given_.type, value, "f")
    for value in bad:
        with pytest.raises(InvalidRequest, match="'f'"):
            check(value)


@pytest.mark.parametrize(
    ("given_", "reason"),
    [
        (spec(T.INT, pattern="x"), "can't have a pattern"),
        (spec(T.STRING, minimum="a"), "can't have a minimum"),
        (spec(T.BOOL, allowed=[True]), "can't have a list of allowed values"),
        (spec(T.JSON, indexed=True), "can't have an index"),
        (spec(T.INT, minimum=3, maximum=1), "above its maximum"),
        (spec(T.INT, minimum="3"), "'f' is an int"),
        (spec(T.INT, allowed=[1, "2"]), "'f' is an int"),
        (spec(T.INT, allowed=[9], maximum=5), "at most 5"),
        (spec(T.STRING, allowed=["x"] * 1001), "more than 1000 allowed"),
        (spec(T.STRING, pattern="(a+)+"), "the pattern of 'f', at character 1"),
        (spec(T.STRING, unit="\x1b[31m"), "the unit of 'f'"),
        (spec(T.STRING, required_below=["vo"]), "must be absolute"),
        (FieldSpec("vo", "size", T.INT), "a standard field"),
    ],
)
def test_declarations_that_contradict_themselves(given_: FieldSpec, reason: str) -> None:
    with pytest.raises(InvalidRequest, match=reason):
        check_spec(given_)


def test_the_wire_form_has_what_was_set_alone() -> None:
    import msgspec

    field = Field("vo", "f", T.INT, unit="mm", on_files=True)
    wire = json.loads(msgspec.json.encode(field))
    assert wire == {"vo": "vo", "name": "f", "type": "int", "unit": "mm", "on_files": True}
    assert msgspec.convert({**wire, "new": 1}, Field) == field
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({**wire, "new": 1}, FieldSpec)
