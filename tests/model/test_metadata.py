"""Metadata as it comes in: keys of a plain alphabet, 64 KiB in all, nothing PostgreSQL can't hold."""

from __future__ import annotations

from typing import Any

import pytest

from lading.model.errors import InvalidRequest
from lading.model.metadata import MAX_BYTES, check_metadata


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"run": 7, "energy": 1.5, "good": True, "site": "é", "nothing": None},
        {"_a.b-c": "x", "A" * 127: 1},
        {"backslash": "\\u0000 as six characters"},
        {"k": "v" * (MAX_BYTES - 8)},
        {"big": 2**63, "list": [1, 2], "tree": {"a": "b"}},
    ],
)
def test_these_are_taken_as_they_are(values: dict[str, Any]) -> None:
    assert check_metadata(values) is values


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"": 1}, "not a metadata key"),
        ({"1st": 1}, "not a metadata key"),
        ({"a b": 1}, "not a metadata key"),
        ({"a\n": 1}, "not a metadata key"),
        ({"A" * 128: 1}, "not a metadata key"),
        ({"clé": 1}, "not a metadata key"),
        ({"k": "v" * MAX_BYTES}, f"at most {MAX_BYTES} bytes"),
        ({"k": "a\0b"}, "NUL"),
        ({"k": ["a\0b"]}, "NUL"),
        ({"k": {"deep": {"a\0": 1}}}, "NUL"),
    ],
)
def test_these_are_refused(values: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidRequest, match=reason) as caught:
        check_metadata(values)
    assert caught.value.message.isprintable()
