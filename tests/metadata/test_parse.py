"""The grammar: what means what, what binds how tightly, what is too much."""

from __future__ import annotations

from typing import Any

import pytest

from metadata.language.errors import MAX_LIST, MAX_TEXT, QueryError
from metadata.language.parse import parse
from metadata.language.tree import Always, And, Literal, LiteralKind, Not, Op, Or, Related, Relation, Test
from metadata.language.unparse import unparse
from metadata.moments import parse_date, parse_time

A, B, C, D = (Test(n, (), Op.EXISTS, ()) for n in "abcd")
EXAMPLE = (
    'modality = "MRI" and voxel_size <= 1.5 and site in ("LYO", "GRE") and not subject_age < 18 and acquired between '
    '2024-01-01 and 2024-06-30 and name like "*_T1*.nii.gz" and qc exists and se = "disk-lyon"'
)


@pytest.mark.parametrize(
    ("query", "tree"),
    [
        ("a exists", A),
        ("(((a exists)))", A),
        ("a exists and b exists and c exists", And((A, B, C))),
        ("a exists or b exists and c exists", Or((A, And((B, C))))),
        ("a exists and b exists or c exists", Or((And((A, B)), C))),
        ("(a exists or b exists) and c exists", And((Or((A, B)), C))),
        ("not a exists and b exists", And((Not(A), B))),
        ("not (a exists and b exists)", Not(And((A, B)))),
        ("not not a exists or b exists", Or((Not(Not(A)), B))),
        ("(a exists or b exists) or c exists", Or((Or((A, B)), C))),
        ("a exists and (b exists and (c exists or not d exists))", And((A, And((B, Or((C, Not(D)))))))),
        ("A EXISTS And NoT b Exists", And((Test("A", (), Op.EXISTS, ()), Not(B)))),
        ("not(a exists)and(b exists)", And((Not(A), B))),
        ("true", Always(True)),
        ("FALSE", Always(False)),
        ("not true or a exists", Or((Not(Always(True)), A))),
        ('ancestor of "/vo/x"', Related(Relation.ANCESTOR, "/vo/x")),
        ('DESCENDANT  OF "/vo/x"', Related(Relation.DESCENDANT, "/vo/x")),
        ('in dataset "/n" and not in\nsnapshot "s"', And((
            Related(Relation.DATASET, "/n"), Not(Related(Relation.SNAPSHOT, "s"))))),
    ],
)  # fmt: skip
def test_precedence_and_keywords(query: str, tree: object) -> None:
    assert parse(query) == tree


def test_names_may_begin_with_keywords_and_may_be_words_that_are_none() -> None:
    for name in (
        "notes",
        "order",
        "android",
        "not-x",
        "in.dataset",
        "inside",
        "true_",
        "now-7d",
        "ancestor",
        "of",
        "x.y-z",
    ):
        assert parse(f"{name} exists") == Test(name, (), Op.EXISTS, ())


@pytest.mark.parametrize("op", list(Op))
def test_every_operator_in_any_case_and_spacing(op: Op) -> None:
    operand = {Op.IN: "('x')", Op.NOT_IN: "('x')", Op.BETWEEN: "'x' and 'x'", Op.NOT_BETWEEN: "'x' and 'x'"}
    rest = "" if op in (Op.EXISTS, Op.MISSING) else operand.get(op, "'x'")
    count = 0 if not rest else 2 if op.positive is Op.BETWEEN else 1
    wanted = Test("f", (), op, (Literal(LiteralKind.TEXT, "x"),) * count)
    assert parse(f"f {op.value} {rest}") == wanted
    assert parse(f"f\n\t{op.value.upper().replace(' ', '  ')}{rest}") == wanted


@pytest.mark.parametrize(
    ("written", "kind", "value"),
    [
        ('"x"', LiteralKind.TEXT, "x"),
        ("'it''", LiteralKind.TEXT, None),
        (r"'it\'s'", LiteralKind.TEXT, "it's"),
        (r'"a\"b\\c\n\r\t\u00e9"', LiteralKind.TEXT, 'a"b\\c\n\r\té'),
        (r'"\d+\*\."', LiteralKind.TEXT, r"\d+\*\."),
        ('""', LiteralKind.TEXT, ""),
        ('"a\nb"', LiteralKind.TEXT, "a\nb"),
        ("3", LiteralKind.NUMBER, 3),
        ("-3", LiteralKind.NUMBER, -3),
        ("+3", LiteralKind.NUMBER, 3),
        ("1.50", LiteralKind.NUMBER, 1.5),
        ("1e3", LiteralKind.NUMBER, 1000.0),
        ("-2.5E-3", LiteralKind.NUMBER, -0.0025),
        ("9223372036854775807", LiteralKind.NUMBER, 2**63 - 1),
        ("-9223372036854775808", LiteralKind.NUMBER, -(2**63)),
        ("10 MB", LiteralKind.SIZE, 10_000_000),
        ("10mb", LiteralKind.SIZE, 10_000_000),
        ("4GiB", LiteralKind.SIZE, 4 * 2**30),
        ("1.5 kB", LiteralKind.SIZE, 1500),
        ("1.5 KiB", LiteralKind.SIZE, 1536),
        ("0 B", LiteralKind.SIZE, 0),
        ("8 EB", LiteralKind.SIZE, 8 * 10**18),
        ("true", LiteralKind.BOOL, True),
        ("False", LiteralKind.BOOL, False),
        ("2024-02-29", LiteralKind.DATE, parse_date("2024-02-29")),
        ("0001-01-01", LiteralKind.DATE, parse_date("0001-01-01")),
        ("2024-01-01T12:00:00Z", LiteralKind.TIME, parse_time("2024-01-01T12:00:00Z")),
        ("2024-01-01T12:00", LiteralKind.TIME, parse_time("2024-01-01T12:00:00Z")),
        ("2024-01-01 14:00:00.25+02:00", LiteralKind.TIME, parse_time("2024-01-01T12:00:00.250000Z")),
        ("now", LiteralKind.NOW, 0),
        ("NOW - 7d", LiteralKind.NOW, -7 * 86_400_000_000),
        ("now-7d", LiteralKind.NOW, -7 * 86_400_000_000),
        ("now + 90 s", LiteralKind.NOW, 90_000_000),
        ("now - 2w", LiteralKind.NOW, -14 * 86_400_000_000),
        ("now - 3h", LiteralKind.NOW, -10_800_000_000),
        ("now - 5m", LiteralKind.NOW, -300_000_000),
    ],
)  # fmt: skip
def test_operands(written: str, kind: LiteralKind, value: Any) -> None:
    if value is None:
        with pytest.raises(QueryError, match="no closing quote"):
            parse(f"f = {written}")
        return
    tree = parse(f"f = {written}")
    assert tree == Test("f", (), Op.EQ, (Literal(kind, value),))
    assert isinstance(tree, Test)
    assert type(tree.values[0].value) is type(value)


@pytest.mark.parametrize(
    ("query", "name", "steps"),
    [
        ("params.te[0] = 1", "params.te", ("0",)),
        ("params[-1] = 1", "params", ("-1",)),
        ('params["a b"].c[2].d-e = 1', "params", ("a b", "c", "2", "d-e")),
        (r"params['it\'s'] = 1", "params", ("it's",)),
        ("params [ 0 ] = 1", "params", ("0",)),
    ],
)
def test_paths(query: str, name: str, steps: tuple[str, ...]) -> None:
    tree = parse(query)
    assert isinstance(tree, Test)
    assert (tree.name, tree.steps) == (name, steps)


def test_the_canonical_text() -> None:
    assert unparse(parse(EXAMPLE)) == EXAMPLE
    assert unparse(parse("NOT ( a=1.50 OR (b ='x' AND c In(1,2)) ) And size> 1500  kb and t=now-7d and u=now")) == (
        'not (a = 1.5 or b = "x" and c in (1, 2)) and size > 1500 kB and t = now - 1w and u = now'
    )
    assert unparse(parse("size > 1500000 B or size < 1536 KiB or size = 0 B or t < 2024-01-01 02:00+02:00")) == (
        "size > 1500 kB or size < 1536 KiB or size = 0 B or t < 2024-01-01T00:00:00Z"
    )


def test_a_long_list_fits_and_a_longer_one_does_not() -> None:
    tree = parse("a in (" + ",".join("1" * MAX_LIST) + ")")
    assert isinstance(tree, Test)
    assert len(tree.values) == MAX_LIST
    with pytest.raises(QueryError, match="a list has at most 10000 values") as caught:
        parse("a in (" + ",".join("1" * (MAX_LIST + 1)) + ")")
    assert caught.value.column == 7 + 2 * MAX_LIST


def test_two_thousand_terms_fit() -> None:
    tree = parse(" or ".join(["a between 1 and 2 and b=1"] * 1000))
    assert isinstance(tree, Or)
    assert sum(len(i.items) for i in tree.items if isinstance(i, And)) == 2000


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("a = 1 and " * 104_858, f"longer than {MAX_TEXT} bytes"),
        ("a = '" + "é" * 33_000 + "'", f"longer than {MAX_TEXT} bytes"),
        (" or ".join(["a=1"] * 10_000), f"longer than {MAX_TEXT} bytes"),
        (" or ".join(["a=1"] * 2001), "more than 2000 terms"),
        ("true or " * 2000 + "true", "more than 2000 terms"),
        ("(" * 1000 + "a = 1" + ")" * 1000, "nested more than 100 deep"),
        ("(" * 65_000, "nested more than 100 deep"),
        ("not " * 1000 + "a = 1", "nested more than 100 deep"),
        ("not (" * 99 + "a = 1 or b = 2" + ")" * 99, "nested more than 100 deep"),
        ("(" * 101 + "a = 1" + ")" * 101, "nested more than 100 deep"),
        ("a = " + "9" * 60_000, "beyond 64 bits"),
        ("a = 18446744073709551616", "beyond 64 bits"),
        ("a = -9223372036854775809", "beyond 64 bits"),
        ("a = 1e309", "larger than the largest number"),
        ("a = " + "1" * 500 + ".5", "larger than the largest number"),
        ("a = nan", "there is no NaN"),
        ("a = Infinity", "no infinity"),
        ("a = 9 EiB", "more than the largest size"),
        ("a = 1.3 B", "not a whole number of bytes"),
        ("a = 1 ib", "not a size"),
        ("a = 2023-02-29", "there is no date 2023-02-29"),
        ("a = 0000-01-01", "there is no date"),
        ("a = 10000-01-01", "is not a date such as"),
        ("a = 2024-1-1", "is not a date such as"),
        ("a = 2024-01-01T25:00:00Z", "there is no time"),
        ("a = 2024-01-01T12:00:60Z", "there is no time"),
        ("a = 0001-01-01T00:00:00+01:00", "outside the years 0001 to 9999"),
        ("a = 2024-01-01T1:0Z", "is not a time such as"),
        ("a = now - 9999999999d", "is not a span of time"),
        (f"{'n' * 128} = 1", "at most 127 characters"),
        ("a = 'x\0'", "NUL"),
        (r"a = '\u0000'", "NUL"),
        (r"a = '\ud800'", "half a character"),
        ("a = '\ud800'", "half a character"),
    ],
    ids=lambda value: value[:40],
)
def test_what_is_too_much_or_impossible_is_refused(query: str, reason: str) -> None:
    with pytest.raises(QueryError) as caught:
        parse(query)
    assert reason in caught.value.message
    assert len(caught.value.message) < 400
    assert caught.value.message.isprintable()


def test_a_hundred_levels_are_fine() -> None:
    assert parse("(" * 100 + "a exists" + ")" * 100) == A
    tree = parse("not " * 99 + "a exists")
    assert tree.height == 100
    assert parse(unparse(tree)) == tree
