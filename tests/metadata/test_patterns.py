"""Regular expressions and globs: the subset, its limits, and one meaning here, in Python's re and in PostgreSQL."""

from __future__ import annotations

import random
import re
from fnmatch import translate

import asyncpg
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from metadata.language import glob, regex
from metadata.language.bind import bind
from metadata.language.evaluate import Record, evaluate
from metadata.language.parse import parse
from metadata.language.regex import RegexError

from .support import FIELDS

VALUES = [
    "",
    "a",
    "b",
    "ab",
    "aab",
    "abc",
    "ba",
    "a.b",
    "T1w",
    "x\ny",
    "é",
    "a b",
    "A",
    "_",
    "9",
    "a]b",
    "-",
    "^",
    "\\",
    "{2}",
]
CHARS = st.sampled_from(
    ["a", "b", "c", "é", "\n", ".", r"\.", r"\d", r"\w", r"\s", r"\D", r"\W", r"\S", r"\n", r"\\", r"\{", "]", "}", "-",
     "[ab]", "[^a]", "[a-c]", r"[\d_]", r"[^\w-]", r"[\]\\\^]", "[-a]", "[.]"]
)  # fmt: skip
COUNTS = st.sampled_from(["", "", "*", "+", "?", "{2}", "{1,2}", "{0,1}", "{1,}"])
ONES = st.builds(str.__add__, CHARS, COUNTS)
PLAIN_GROUPS = st.lists(st.lists(CHARS, min_size=1, max_size=3).map("".join), min_size=1, max_size=3).map("|".join)
GROUPS = st.builds("({}){}".format, PLAIN_GROUPS, COUNTS)
BRANCHES = st.builds(
    "{}{}{}".format,
    st.sampled_from(["", "^", "(^|a)"]),
    st.lists(ONES | GROUPS, min_size=1, max_size=4).map("".join),
    st.sampled_from(["", "$", "(?:b|$)"]),
)
EXPRESSIONS = st.lists(BRANCHES, min_size=1, max_size=3).map("|".join)
TEXTS = st.text("abcé\n. _9A-]\\{", max_size=8)
PARTS = ["*", "?", "a", "b", "[ab]", "[!a]", "[a-c]", r"\*", "[]]", "[^b-]", ".", "%", "_", "\n", r"\\", "$", "{"]
GLOBS = st.lists(st.sampled_from(PARTS), max_size=6).map("".join)


@given(EXPRESSIONS, TEXTS)
def test_an_expression_means_what_it_means_in_python(expression: str, text: str) -> None:
    assume(_is_regex(expression))  # not longer than it may be
    assume(len(regex.portable(expression)) <= regex.MAX_LENGTH)
    # Python's $ matches before a last line break as well, ours and PostgreSQL's does not: hence the \\Z
    plain = re.sub(r"\$(?=\)|\||$)", r"\\Z", expression)
    wanted = re.search(plain, text, re.DOTALL | re.ASCII) is not None
    assert regex.search(expression, text) is wanted
    portable = regex.portable(expression)
    assert regex.search(portable, text) is wanted
    assert regex.portable(portable) == portable


@given(GLOBS, TEXTS)
def test_a_glob_means_what_its_regular_expression_means(pattern: str, text: str) -> None:
    assert glob.matches(pattern, text) is regex.search(glob.as_regex(pattern), text)


@given(st.text("ab*?", max_size=6), st.text("ab", max_size=6))
def test_a_glob_without_classes_means_what_it_means_to_fnmatch(pattern: str, text: str) -> None:
    assert glob.matches(pattern, text) is (re.match(translate(pattern), text) is not None)
    fixed, whole = glob.prefix(pattern)
    assert not glob.matches(pattern, text) or text.startswith(fixed)
    assert not whole or glob.matches(pattern, text) is (text == fixed)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_an_escaped_glob_matches_its_text_alone(text: str) -> None:
    assert glob.matches(glob.escape(text), text)
    assert glob.prefix(glob.escape(text)) == (text, True)
    assert not glob.matches(glob.escape(text), text + "x")


EXPRESSION_SAMPLES = [
    "a", "^a", "b$", "^$", "a|b", "(a|b)c?", "^(?:ab)+$", r"\d", r"\w+", r"\s", r"[^a-c]", r"^\W$", "a.b", r"a\.b", "x.y",
    r"[\]a]", r"\\", r"\{2\}", r"^[-a]$", r"[\^]", "(^|a)b", "a($|b)", "a{2}", "a{1,}b", "^.{3}$", "é", "[à-ÿ]", "}", "]",
    "^é$", r"\S\s\S", "x\\ny", "a{0,1}b",
]  # fmt: skip


async def test_patterns_mean_the_same_in_postgresql(dsn: str) -> None:
    chance = random.Random(7)
    words = ["a", "b", "é", r"\d", r"\w", r"\s", r"\W", ".", "[^a]", "[a-c]", r"\.", "(a|b)", "(ab|c)", "^", "$"]
    made = [
        "".join(chance.choice(words) + chance.choice(["", "", "*", "?", "{1,2}"]) for _ in range(3)) for _ in range(400)
    ]
    expressions = [e for e in [*EXPRESSION_SAMPLES, *made] if _is_regex(e)]
    globs = ["".join(chance.choice(PARTS) for _ in range(4)) for _ in range(300)]
    assert len(expressions) > 200
    texts = VALUES + ["".join(chance.choice("abcé\n. _9%$") for _ in range(chance.randrange(6))) for _ in range(80)]
    rows = [(regex.portable(e), t, regex.search(e, t)) for e in expressions for t in texts]
    rows += [(glob.as_regex(g), t, glob.matches(g, t)) for g in globs for t in texts]
    likes = [(like, t, glob.matches(g, t)) for g in globs if (like := glob.as_like(g)) is not None for t in texts]
    connection = await asyncpg.connect(dsn)
    try:
        for operator, cases in (("~", rows), ("like", likes)):
            wrong = await connection.fetch(
                f'select p, t, w from unnest($1::text[], $2::text[], $3::bool[]) c(p, t, w) where (t collate "C" {operator} p) <> w',
                *map(list, zip(*cases, strict=True)),
            )
            assert not wrong
    finally:
        await connection.close()
    assert len(likes) > 1000


def _is_regex(expression: str) -> bool:
    try:
        regex.parse_regex(expression)
    except RegexError:
        return False
    return True


@pytest.mark.parametrize(
    ("expression", "offset", "reason"),
    [
        ("", 0, "nothing here to match"),
        ("a|", 2, "nothing here to match"),
        ("()", 1, "nothing here to match"),
        ("(a+)+", 0, "holds a repetition"),
        ("(a*)*", 0, "holds a repetition"),
        ("(a|b?){2}", 0, "holds a repetition"),
        ("((a|b*)c)+", 0, "holds a repetition"),
        ("a**", 2, "doubled quantifiers"),
        ("a*?", 2, "lazy"),
        ("a++", 2, "possessive"),
        ("^*", 0, "can't be repeated"),
        ("*a", 0, "nothing here for * to repeat"),
        ("a{101}", 1, "at most 100"),
        ("a{3,2}", 1, "from the smaller"),
        ("a{0}", 1, "from the smaller"),
        ("a{,2}", 1, "a repetition is written"),
        ("a{x}", 1, "a repetition is written"),
        ("(?=a)", 0, "look-around"),
        ("(?!a)", 0, "look-around"),
        ("(?<=a)b", 0, "look-around"),
        ("(?i)a", 0, "options"),
        ("(?P<n>a)", 0, "named groups"),
        (r"(a)\1", 3, r"\1 is refused"),
        (r"\bword", 0, r"\b is refused"),
        (r"\ma", 0, r"\m is refused"),
        (r"\u00e9", 0, r"\u is refused"),
        (r"\_", 0, "is refused"),
        ("\\", 0, "is refused"),
        ("(a", 0, "never closed"),
        ("a)", 1, "closes nothing"),
        ("[a", 0, "never closed"),
        ("[]", 0, "empty class"),
        ("[[:alpha:]]", 1, "named classes"),
        (r"[\D]", 1, r"\D is refused"),
        ("[z-a]", 2, "from the smaller"),
        (r"[a-\d]", 2, "from the smaller"),
        ("a\0", 1, "NUL"),
        ("a" * 201, 200, "at most 200"),
        ("(" * 21 + "a" + ")" * 21, 20, "more than 20 deep"),
        ("(abcdefghij){100}(abcdefghij){100}", 0, "too large"),
    ],
)  # fmt: skip
def test_what_is_outside_the_subset_is_refused_with_its_place(expression: str, offset: int, reason: str) -> None:
    with pytest.raises(RegexError) as caught:
        regex.parse_regex(expression)
    assert reason in str(caught.value)
    assert caught.value.offset == offset


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [("a[b", "never closed"), ("a\\", "lone"), ("[z-a]", "from the smaller"), ("[\\", "never closed"), ("[a-\\", "never closed"),
     ("x" * 501, "at most 500"), ("[!", "never closed")],
)  # fmt: skip
def test_globs_that_are_none(pattern: str, reason: str) -> None:
    with pytest.raises(glob.GlobError, match=reason):
        glob.parse_glob(pattern)


@pytest.mark.parametrize(
    "query",
    [
        "site ~ '" + ".*" * 90 + "x'",
        "site ~ '" + "a?" * 90 + "a{90}b'",
        "site ~ '(a|a|aa){1,100}b'",
        "site ~ '" + "[ab]*" * 30 + "c'",
        "site like '" + "*a" * 200 + "*b'",
    ],
)
def test_patterns_on_which_backtracking_never_ends_have_an_answer(query: str) -> None:
    """Each takes milliseconds here; with backtracking the suite's timeout would end it."""
    assert evaluate(bind(parse(query), FIELDS), Record({"site": "a" * 2_000})) is False


def test_like_has_no_pattern_for_classes() -> None:
    assert glob.as_like("a%b_c*?\\*[xy]") is None
    assert glob.as_like("a%b_c*?\\*\\\\") == "a\\%b\\_c%_*\\\\"
