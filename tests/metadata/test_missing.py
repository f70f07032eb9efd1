"""The rule of missing values, as a truth table: every operator, with a matching value, another one, and none."""

from __future__ import annotations

from typing import Any

import pytest

from metadata.language.bind import bind
from metadata.language.evaluate import Record, evaluate
from metadata.language.parse import parse
from metadata.language.tree import Op

from .support import FIELDS, NOW, ask

# query -> (with 5 or "abc", with 9 or "xyz", without a value)
NUMBERS: dict[str, tuple[bool, bool, bool]] = {
    "subject_age = 5": (True, False, False),
    "subject_age != 5": (False, True, False),
    "subject_age < 6": (True, False, False),
    "subject_age <= 5": (True, False, False),
    "subject_age > 5": (False, True, False),
    "subject_age >= 9": (False, True, False),
    "subject_age in (5, 6)": (True, False, False),
    "subject_age not in (5, 6)": (False, True, False),
    "subject_age between 4 and 6": (True, False, False),
    "subject_age not between 4 and 6": (False, True, False),
    "subject_age exists": (True, True, False),
    "subject_age missing": (False, False, True),
}
TEXTS: dict[str, tuple[bool, bool, bool]] = {
    'site = "abc"': (True, False, False),
    'site != "abc"': (False, True, False),
    'site < "b"': (True, False, False),
    'site like "a*"': (True, False, False),
    'site not like "a*"': (False, True, False),
    'site ~ "^a"': (True, False, False),
    'site !~ "^a"': (False, True, False),
}
JSON = {q.replace("subject_age", "params.x[0]"): row for q, row in NUMBERS.items()}
# se holds "abc", or "xyz", or nothing
SETS = {q.replace("site", "se"): row for q, row in TEXTS.items() if "<" not in q} | {
    'se in ("abc", "b")': (True, False, False),
    'se not in ("abc", "b")': (False, True, False),
    "se exists": (True, True, False),
    "se missing": (False, False, True),
}


def _cases() -> list[Any]:
    kinds: list[tuple[dict[str, tuple[bool, bool, bool]], list[dict[str, Any]], list[dict[str, Any]]]] = [
        (NUMBERS, [{"subject_age": 5}, {"subject_age": 9}, {}], [{}, {}, {}]),
        (TEXTS, [{"site": "abc"}, {"site": "xyz"}, {}], [{}, {}, {}]),
        (JSON, [{"params": {"x": [5]}}, {"params": {"x": [9]}}, {"params": {"x": [None]}}], [{}, {}, {}]),
        (SETS, [{}, {}, {}], [{"se": ["abc"]}, {"se": ["xyz"]}, {"se": []}]),
    ]
    return [
        pytest.param(query, own, standard, wanted, id=f"{query} {own or standard or 'nothing'}")
        for table, owns, standards in kinds
        for query, row in table.items()
        for own, standard, wanted in zip(owns, standards, row, strict=True)
    ]


@pytest.mark.parametrize(("query", "own", "standard", "wanted"), _cases())
def test_the_truth_table_and_not_is_the_exact_complement(
    query: str, own: dict[str, Any], standard: dict[str, Any], wanted: bool
) -> None:
    assert ask(query, own, **standard) is wanted
    assert ask(f"not {query}", own, **standard) is not wanted
    assert ask(f"not not {query}", own, **standard) is wanted


def test_the_table_leaves_no_operator_out() -> None:
    asked = {parse(query).op for query in [*NUMBERS, *TEXTS]}  # type: ignore[union-attr]  # single tests
    assert asked == set(Op)


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ('se = "a"', True),
        ('se != "a"', False),
        ('se != "c"', True),
        ('se in ("c", "b")', True),
        ('se not in ("c", "b")', False),
        ('se not in ("c", "d")', True),
        ('se like "?"', True),
        ('se not like "b*"', False),
        ('se !~ "[cd]"', True),
        ('se = "a" and se = "b"', True),
    ],
)
def test_of_many_values_any_one_will_do_and_a_negation_wants_none(query: str, wanted: bool) -> None:
    assert ask(query, se=["a", "b"]) is wanted


def test_an_own_value_goes_before_an_inherited_one() -> None:
    tree = bind(parse("subject_age = 5"), FIELDS, now=NOW)
    assert evaluate(tree, Record({}, {"subject_age": 5}))
    assert evaluate(tree, Record({"subject_age": 5}, {"subject_age": 6}))
    assert not evaluate(tree, Record({"subject_age": 6}, {"subject_age": 5}))
    assert evaluate(tree, Record({"subject_age": None}, {"subject_age": 5}))


@pytest.mark.parametrize("value", ["5", True, [5], {"a": 5}, 5.5])
def test_json_of_another_kind_differs_and_has_no_order(value: Any) -> None:
    own = {"params": {"x": value}}
    assert not ask("params.x = 5", own)
    assert ask("params.x != 5", own)
    assert ask("params.x not between 4 and 5", own)
    assert not ask("params.x < 5", own)
    assert not ask("params.x in (5, 6)", own)
    assert ask("params.x exists", own)


def test_json_true_is_not_one() -> None:
    assert not ask("params.x = 1", {"params": {"x": True}})
    assert not ask("params.x = true", {"params": {"x": 1}})
    assert not ask("params.x in (1, 0)", {"params": {"x": True}})
    assert ask("params.x in (1, true)", {"params": {"x": True}})
    assert ask("params.x = 1", {"params": {"x": 1.0}})
