"""The page about the language tells the truth: its examples are queries, its tables are the code's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from metadata.language.bind import bind
from metadata.language.parse import parse
from metadata.language.tree import Op
from metadata.operators import ALL, CHOICE, ORDERED
from metadata.standard import ALIASES, STANDARD

from .support import FIELDS, ask

PAGE = (Path(__file__).parents[2] / "docs/reference/query-language.md").read_text(encoding="utf-8")
EXAMPLES = [q for block in re.findall(r"```query\n(.*?)```", PAGE, re.S) for q in block.splitlines()]


def _table(heading: str) -> list[list[str]]:
    section = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S)
    assert section is not None
    rows = [line.strip("| ").split(" | ") for line in section[1].splitlines() if line.startswith("| ")]
    return [row for row in rows if "---" not in row[0]][1:]


@pytest.mark.parametrize("query", EXAMPLES)
def test_the_examples_are_queries(query: str) -> None:
    bind(parse(query), FIELDS)


def test_there_are_examples() -> None:
    assert len(EXAMPLES) > 10


@pytest.mark.parametrize("row", _table("Missing values"), ids=lambda row: row[0])
def test_the_truth_table_is_true(row: list[str]) -> None:
    tests, *answers = row
    values = [{"subject_age": 5}, {"subject_age": 9}, {}]
    for test in re.findall(r"`([^`]+)`", tests):
        query = re.sub(r"\bx\b", "subject_age", test)
        assert [ask(query, own) for own in values] == [a.strip("*") == "true" for a in answers]


def test_all_operators_are_told() -> None:
    told = " ".join(row[0] for row in _table("Operators"))
    for op in Op:
        assert re.search(rf"`{re.escape(op.value)}[ `]", told), op


def test_the_standard_fields_are_told() -> None:
    kinds = {"all": ALL, "ordered": ORDERED, "choice": CHOICE}
    told = {name: row for row in _table("Standard fields") for name in re.findall(r"`(\w+)`", row[0])}
    assert told.keys() == STANDARD.keys() | ALIASES.keys()
    for name, field in STANDARD.items():
        _, type_, operators, _ = told[name]
        assert type_ == (f"many {field.type.value}s" if field.many else field.type.value)
        assert set(field.operators) >= set(kinds[operators.split(",")[0]])
        assert ("like" in operators or operators == "all") is (Op.LIKE in field.operators)
