"""Whatever is typed: a tree, or a QueryError. And every tree has a text that is read back as the same tree."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from metadata.language.bind import bind
from metadata.language.dirac import from_dirac
from metadata.language.errors import MAX_DEPTH, QueryError
from metadata.language.evaluate import Record, evaluate
from metadata.language.literals import KEYWORDS
from metadata.language.parse import parse
from metadata.language.tree import Always, And, Literal, LiteralKind, Node, Not, Op, Or, Related, Relation, Test
from metadata.language.unparse import unparse
from metadata.moments import MAX_DAY, MAX_TIME, MIN_DAY, MIN_TIME

from .support import FIELDS, NOW
from .test_parse import EXAMPLE

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.-]{0,12}", fullmatch=True).filter(lambda n: n.lower() not in KEYWORDS)
K = LiteralKind
LITERALS = st.one_of(
    st.builds(Literal, st.just(K.TEXT), TEXT),
    st.builds(
        Literal, st.just(K.NUMBER), st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    ),
    st.builds(Literal, st.just(K.SIZE), st.integers(0, 2**63 - 1) | st.integers(0, 7).map(lambda n: n * 2**60)),
    st.builds(Literal, st.just(K.BOOL), st.booleans()),
    st.builds(Literal, st.just(K.DATE), st.integers(MIN_DAY, MAX_DAY)),
    st.builds(Literal, st.just(K.TIME), st.integers(MIN_TIME, MAX_TIME)),
    st.builds(Literal, st.just(K.NOW), st.integers(-999_999_999, 999_999_999).map(lambda s: s * 1_000_000)),
)


def _operands(op: Op) -> st.SearchStrategy[tuple[Literal, ...]]:
    match op.positive:
        case Op.EXISTS:
            return st.just(())
        case Op.LIKE | Op.MATCH:
            return st.tuples(st.builds(Literal, st.just(K.TEXT), TEXT))
        case Op.BETWEEN:
            return st.tuples(LITERALS, LITERALS)
        case Op.IN:
            return st.lists(LITERALS, min_size=1, max_size=4).map(tuple)
    return st.tuples(LITERALS)


STEPS = st.lists(TEXT | st.integers(-9, 99).map(str), max_size=2).map(tuple)
TESTS = st.sampled_from(Op).flatmap(lambda op: st.builds(Test, NAMES, STEPS, st.just(op), _operands(op)))
LEAVES = st.one_of(TESTS, st.builds(Always, st.booleans()), st.builds(Related, st.sampled_from(Relation), TEXT))


def _branches(below: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    several = st.lists(below, min_size=2, max_size=4).map(tuple)
    return st.one_of(st.builds(Not, below), st.builds(And, several), st.builds(Or, several))


TREES: st.SearchStrategy[Node] = st.recursive(LEAVES, _branches, max_leaves=12)


@given(TREES)
def test_the_text_of_a_tree_is_read_back_as_the_same_tree(tree: Node) -> None:
    text = unparse(tree)
    assert parse(text) == tree
    assert unparse(parse(text)) == text
    assert text.isprintable() or any(ord(c) > 0xFFFF for c in text)


def _answered(text: str) -> None:
    """Parsed, bound and evaluated, or refused with a QueryError that shows itself."""
    try:
        tree = parse(text)
        assert tree.height <= MAX_DEPTH
        assert parse(unparse(tree)) == tree
        answer = evaluate(bind(tree, FIELDS, now=NOW), Record({"site": "LYO", "qc": True}), lambda *_: True)
        assert isinstance(answer, bool)
        return
    except QueryError as caught:
        error = caught
    assert error.message.isprintable()
    assert len(error.message) < 1000
    assert (error.line is None) is (len(text) > 65_536 or len(text.encode("utf-8", "surrogatepass")) > 65_536)


@settings(deadline=None)
@given(st.text(max_size=200))
@example("(" * 65_536)
@example("not " * 16_384)
@example('"' * 65_535)
@example("\\" * 65_536)
@example("a=1or " * 10_000)
@example("a" * 65_536)
@example("a[" * 30_000)
@example("a in (" + "1," * 32_000)
@example("1" * 65_536)
@example("2024-" * 13_000)
@example(" " * 65_536)
@example("a = '" + "\\" * 65_000)
@example("x" * 1_048_576)
@example("é" * 40_000)
def test_any_text_is_a_query_or_a_query_error(text: str) -> None:
    _answered(text)


WORDS = (
    "and or not in between like exists missing true now - 7d ( ) [ ] , = != ~ < qc site seen params.te size se 3 1.5"
)
PIECES = st.sampled_from(
    [*WORDS.split(), "2024-01-01", "10 MB", '"a*"', "'[a'", "'", '"', "\\", "in dataset", "ancestor of", '"/vo"',
     "2024-13-99", "9" * 30, "nan", "\0", "\ud800", "“", "\n", "é"]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, max_size=15).map(" ".join))
def test_any_words_of_the_language_are_a_query_or_a_query_error(text: str) -> None:
    _answered(text)


@given(st.integers(0, len(EXAMPLE)), st.integers(0, 12), PIECES | st.text(max_size=3))
def test_a_damaged_query_is_a_query_or_a_query_error(place: int, gone: int, put: str) -> None:
    _answered(EXAMPLE[:place] + put + EXAMPLE[place + gone :])


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["Any", "Missing", "x*"]),
    lambda below: (
        st.lists(below, max_size=3) | st.dictionaries(st.sampled_from(["=", "in", "<", "like", "?"]), below, max_size=3)
    ),
    max_leaves=6,
)


@given(
    st.dictionaries(st.sampled_from(["site", "qc", "Path", "SE", "Size", "params", "é", ""]) | NAMES, JSON, max_size=4)
)
def test_any_dirac_query_is_a_tree_or_a_query_error(query: dict[str, Any]) -> None:
    try:
        tree = from_dirac(query)
    except QueryError:
        return
    assert parse(unparse(tree)) == tree
