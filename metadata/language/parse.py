"""Text to tree. The grammar is in grammar.lark; the parser is built at the first use (some 50 ms) and kept."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from lark import Lark, Token, Transformer, UnexpectedCharacters, UnexpectedToken

from .errors import MAX_DEPTH, MAX_LIST, MAX_TERMS, MAX_TEXT, At, QueryError
from .literals import KEYWORDS, moment, now, number, size, text, truth, unquote
from .syntax import explain
from .tree import Always, And, Literal, Node, Not, Op, Or, Related, Relation, Test, check_height

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MAX_NAME = 127


def parse(query: str) -> Node:
    """The tree of `query`; its leaves are `Test`.

    Linear in the text. Raises QueryError, and nothing else, for whatever is no query: with the place, what was expected
    there, and a suggestion. More than 64 KiB, 2,000 terms or 100 levels are refused without reading further.
    """
    _check_text(query)
    parser = _parser().parse_interactive(query)
    depth, terms, within, token = 0, 1, "", None
    try:
        for token in parser.lexer_thread.lex(parser.parser_state):  # type: ignore[no-untyped-call]  # lark types it half
            # A callback sees tokens alone: this is how it learns where they stand. The text of a token is str(token).
            token.value = At(query, token.start_pos or 0)
            if token.type in _COUNTED:
                depth += _DEEPER.get(token.type, 0)
                terms += _TERMS.get(token.type, 0)
                within = _WITHIN.get(token.type, within)
                if depth > MAX_DEPTH:
                    raise QueryError(f"( ) are nested more than {MAX_DEPTH} deep", token.value)
                if terms > MAX_TERMS:
                    raise QueryError(f"the query has more than {MAX_TERMS} terms", token.value)
            parser.feed_token(token)
        tree: Node = parser.feed_eof(token)  # type: ignore[no-untyped-call]  # lark types it half
        return tree
    except UnexpectedToken as error:
        ended = error.token.type == "$END"
        at = At(query, len(query.rstrip()) if ended else error.token.start_pos or 0)
        raise explain(at, error.expected, depth, within) from None
    except UnexpectedCharacters as error:
        raise explain(At(query, error.pos_in_stream or 0), error.allowed or set(), depth, within) from None


_DEEPER = {"LPAR": 1, "RPAR": -1}
_TERMS = {"_AND": 1, "_OR": 1, "BETWEEN": -1}  # the `and` of a `between` joins no terms
_WITHIN = {"IN": "in", "RPAR": "", "BETWEEN": "between", "_AND": ""}  # what a word of it is still missing from
_COUNTED = {*_DEEPER, *_TERMS, *_WITHIN}


def _check_text(query: str) -> None:
    # Characters first: a text that is far too long is not even encoded.
    if len(query) > MAX_TEXT or len(query.encode("utf-8", "surrogatepass")) > MAX_TEXT:
        raise QueryError(f"the query is longer than {MAX_TEXT} bytes; put long lists in a dataset")
    if not query.strip():
        raise QueryError("the query is empty: write true for everything", At(query, 0), expected=["a field name"])
    bad = next((i for i, c in enumerate(query) if c == "\0" or "\ud800" <= c <= "\udfff"), None)
    if bad is not None:
        raise QueryError("a NUL or half a character (a lone surrogate) can't stand in a query", At(query, bad))


@cache
def _parser() -> Lark:
    grammar = files(__package__).joinpath("grammar.lark").read_text(encoding="utf-8")
    return Lark(grammar, parser="lalr", lexer="contextual", transformer=_Build(), propagate_positions=False)


def _one(make: Callable[[str, At], Literal]) -> Callable[[Any, Sequence[Token]], Literal]:
    return lambda _, items: make(str(items[0]), items[0].value)


class _Build(Transformer[Token, Node]):
    """Called bottom-up by the parser, once for every rule it has read: no recursion, however deep the text."""

    text, number, size = _one(text), _one(number), _one(size)
    moment, truth = _one(moment), _one(truth)

    def now(self, items: Sequence[Token | None]) -> Literal:
        word, sign, span = items
        assert word is not None
        return now(str(sign) if sign else "", str(span) if span else "", word.value)

    def field(self, items: Sequence[Token]) -> tuple[str, tuple[str, ...], At]:
        name, at = str(items[0]), items[0].value
        if name.lower() in KEYWORDS:
            raise QueryError(
                f"'{name}' is a word of the language; a field name was expected", at, expected=["a field name"]
            )
        if len(name) > MAX_NAME:
            raise QueryError(f"a field name has at most {MAX_NAME} characters", at)
        return name, tuple(_step(i) for i in items[1:]), at

    def test(self, items: Sequence[Any]) -> Test:
        (name, steps, at), *rest = items
        words = [str(i).lower() for i in rest if isinstance(i, Token)]
        values = tuple(rest[len(words) :])
        if len(values) > MAX_LIST:
            raise QueryError(f"a list has at most {MAX_LIST} values; use a dataset", values[MAX_LIST].at)
        return Test(name, steps, Op(" ".join(words)), values, at)

    def related(self, items: Sequence[Token]) -> Related:
        word, target = items
        return Related(Relation(" ".join(str(word).lower().split())), unquote(str(target), target.value), word.value)

    def always(self, items: Sequence[Token]) -> Always:
        return Always(str(items[0]).lower() == "true")

    def complement(self, items: Sequence[Any]) -> Node:
        return check_height(Not(items[1]), items[0].value)

    def group(self, items: Sequence[Any]) -> Node:
        return check_height(items[1], items[0].value)

    def all(self, items: Sequence[Node]) -> Node:
        return check_height(And(tuple(items)))

    def any(self, items: Sequence[Node]) -> Node:
        return check_height(Or(tuple(items)))


def _step(token: Token) -> str:
    if token.type == "STRING":
        return unquote(str(token), token.value)
    return str(token).removeprefix(".")
