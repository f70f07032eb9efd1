"""Element expressions: what they choose, and that nothing else comes of any text."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.elements.expression import MAX_TEXT, parse
from lading.model.errors import InvalidRequest

TB = 10**12


def element(number: int, name: str, **values: Any) -> Any:
    given_: dict[str, Any] = {
        "id": number, "name": name, "type": "posix", "site": None, "country": None, "medium": "disk", "state": "active",
        "cost": 100, "tags": [], "placeholder": False,
    }  # fmt: skip
    return SimpleNamespace(**given_ | values)


ALL = [
    element(1, "cc-disk", country="FR", site="IN2P3-CC", tags=["fast", "prod"]),
    element(2, "cc-tape", country="FR", site="IN2P3-CC", medium="tape", type="gridftp", cost=500),
    element(3, "ral-s3", country="UK", site="RAL", type="s3", tags=["prod"], state="read-only"),
    element(4, "old-disk", country="FR", site="CREATIS"),
    element(5, "nowhere"),
    element(6, "old-import", placeholder=True),
]
FREE: dict[int, float] = {1: 5 * TB, 2: 0.0, 3: 20 * TB}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("cc-disk", "cc-disk"),
        ("*", "cc-disk cc-tape nowhere old-disk ral-s3"),
        ("cc-*", "cc-disk cc-tape"),
        ("old-*", "old-disk"),
        ("[co]*disk", "cc-disk old-disk"),
        ("country=FR & type=disk \\ se=old-disk", "cc-disk"),
        ("country=FR&type=disk\\old-*", "cc-disk"),
        ("type=tape", "cc-tape"),
        ("medium=tape | type=s3", "cc-tape ral-s3"),
        ("cc-disk | cc-tape & country=UK", "cc-disk"),  # & first
        ("(cc-disk | cc-tape) & country=UK", ""),
        ("country=FR \\ cc-disk | ral-s3", "cc-tape old-disk ral-s3"),
        ("!country=FR", "nowhere ral-s3"),
        ("country!=FR", "nowhere ral-s3"),
        ("!!cc-disk", "cc-disk"),
        ("tag=prod", "cc-disk ral-s3"),
        ("tag!=prod", "cc-tape nowhere old-disk"),
        ('site="IN2P3-CC"', "cc-disk cc-tape"),
        ("site='IN*' & state=active", "cc-disk cc-tape"),
        ("state=read-only", "ral-s3"),
        ("free>10TB", "nowhere old-disk ral-s3"),
        ("free>=5000GB & free<1EB", "cc-disk ral-s3"),
        ("free<4TiB", "cc-tape"),
        ("cost<200 & country=FR", "cc-disk old-disk"),
        ("cost >= 500", "cc-tape"),
        ("nobody", ""),
        ("site-1", ""),
        ("se", ""),  # a name like any other
    ],
)
def test_what_is_chosen(text: str, names: str) -> None:
    assert " ".join(e.name for e in parse(text).select(ALL, FREE)) == names


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "at its end"),
        ("country=", "at its end"),
        ("a &", "at its end"),
        ("a b", "at 'b'"),
        ("& a", "at '&'"),
        ("(a", "at its end"),
        ("a)", "at ')'"),
        ("colour=red", "at '=red'"),
        ("country>FR", "use ="),
        ("free>much", "a number"),
        ("free>10XB", "a number"),
        ("a;drop", "at ';drop'"),
        ("a\x00", "at "),
        ("(" * 51, "brackets"),
        ("a" * (MAX_TEXT + 1), "at most"),
    ],
)
def test_what_is_none(text: str, word: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        parse(text)
    assert word in error.value.message


def test_free_space_is_asked_for_only_where_it_matters() -> None:
    assert parse("free>1TB").asks_free
    assert not parse("country=FR").asks_free


leaves = st.sampled_from(["country=FR", "type=disk", "cc-*", "tag=prod", "free>10TB", "cost<200", "nobody"])
trees: st.SearchStrategy[Any] = st.recursive(
    leaves,
    lambda inner: st.one_of(st.tuples(st.sampled_from("&|\\"), inner, inner), st.tuples(st.just("!"), inner)),
    max_leaves=12,
)


def written(tree: Any) -> str:
    if isinstance(tree, str):
        return tree
    if len(tree) == 2:
        return f"!({written(tree[1])})"
    return f"({written(tree[1])}) {tree[0]} ({written(tree[2])})"


def meant(tree: Any) -> set[str]:
    if isinstance(tree, str):
        return {e.name for e in parse(tree).select(ALL, FREE)}
    if len(tree) == 2:
        return {e.name for e in ALL if not e.placeholder} - meant(tree[1])
    one, two = meant(tree[1]), meant(tree[2])
    return {"&": one & two, "|": one | two, "\\": one - two}[tree[0]]


@given(trees)
def test_it_is_set_algebra(tree: Any) -> None:
    assert {e.name for e in parse(written(tree)).select(ALL, FREE)} == meant(tree)


@given(st.text(max_size=60) | st.text("ab=&|\\!()<>*[]'\" ", max_size=80))
def test_any_text_is_an_expression_or_refused(text: str) -> None:
    with contextlib.suppress(InvalidRequest):
        parse(text).select(ALL, FREE)
