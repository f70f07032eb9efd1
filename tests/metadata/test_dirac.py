"""DIRAC's queries become the trees of the same questions."""

from __future__ import annotations

import math
from typing import Any

import pytest

from metadata.language.dirac import from_dirac
from metadata.language.errors import QueryError
from metadata.language.parse import parse
from metadata.language.unparse import unparse


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ({}, "true"),
        ({"modality": "MRI"}, 'modality = "MRI"'),
        ({"a": 3, "b": True, "c": 1.5}, "a = 3 and b = true and c = 1.5"),
        ({"site": ["LYO", "GRE"]}, 'site in ("LYO", "GRE")'),
        ({"a": {">": 3, "<=": 9}}, "a > 3 and a <= 9"),
        ({"a": {"in": [1, 2]}, "b": {"nin": [3]}}, "a in (1, 2) and b not in (3)"),
        ({"a": {"in": 1}, "b": {"nin": 3}}, "a in (1) and b not in (3)"),
        ({"a": {"=": [1, 2]}, "b": {"!=": [3]}}, "a in (1, 2) and b not in (3)"),
        ({"a": {"=": 1}, "b": {"!=": "x*"}, "c": {"==": 2}}, 'a = 1 and b != "x*" and c = 2'),
        ({"a": "Any", "b": "Missing"}, "a exists and b missing"),
        ({"FileName": "*_T1?.nii"}, 'name like "*_T1?.nii"'),
        ({"Name": "a[1]*\\"}, 'name like "a\\\\[1]*\\\\\\\\"'),
        ({"a": {"like": "x*"}}, 'a like "x*"'),
        ({"SE": "disk", "User": "alice", "Size": {">": 10}}, 'se = "disk" and owner = "alice" and size > 10'),
        ({"CreationDate": {">=": "2024-01-01 00:00:00"}}, 'ctime >= "2024-01-01 00:00:00"'),
        ({"Path": "/vo/a*/"}, 'lfn like "/vo/a\\\\*/*"'),
        ({"Path": ["/a", "/b"], "x": 1}, '(lfn like "/a/*" or lfn like "/b/*") and x = 1'),
    ],
)
def test_the_same_question(query: dict[str, Any], text: str) -> None:
    tree = from_dirac(query)
    assert unparse(tree) == text
    assert parse(text) == tree


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ([], "an object of fields"),
        ("x", "an object of fields"),
        ({1: 2}, "can't name a field"),
        ({"": 2}, "can't name a field"),
        ({"a b": 2}, "can't name a field"),
        ({"and": 2}, "can't name a field"),
        ({"n" * 128: 2}, "can't name a field"),
        ({"UID": 2}, "'UID' is not kept here"),
        ({"a": {}}, "asks for nothing"),
        ({"a": {"~": 1}}, "is no operator"),
        ({"a": {">": [1]}}, "takes one value"),
        ({"a": {"like": 1}}, "like takes text"),
        ({"a": []}, "1 to 10000 values"),
        ({"a": [1] * 10_001}, "1 to 10000 values"),
        ({"a": None}, "a value is text"),
        ({"a": math.nan}, "a value is text"),
        ({"a": 2**64}, "a value is text"),
        ({"a": [[1]]}, "a value is text"),
        ({"a": "x\0"}, "NUL"),
        ({"Path": "vo"}, "'Path' is a directory"),
        ({"Path": []}, "'Path' is a directory"),
        ({f"a{i}": 1 for i in range(2001)}, "more than 2000 terms"),
    ],
)
def test_what_is_no_query_is_refused(query: Any, reason: str) -> None:
    with pytest.raises(QueryError, match=reason) as caught:
        from_dirac(query)
    assert caught.value.line is None
    assert "snippet" not in caught.value.details
