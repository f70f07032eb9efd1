"""GenQuery2 and GenQuery1 over the fake zone: as much of both as python-irodsclient and the plug-in ask.

Order and `>` are those of a database with a collation of its own, in which names are not in the order of their bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from fnmatch import translate
from itertools import count
from typing import Any

import irods.exception as ex
from irods.message import GenQueryRequest, GenQueryResponse, GenQueryResponseColumn

from tests.storage_plugins.irods_fake_zone import Refused, Zone

Row = dict[str, str]
_TOKEN = re.compile(r"\s*('(?:''|[^'])*'|[A-Za-z_][A-Za-z0-9_]*|\d+|<>|!=|<=|>=|[=<>(),])")
_GENQUERY1 = {
    401: "DATA_ID", 403: "DATA_NAME", 404: "DATA_REPL_NUM", 407: "DATA_SIZE", 413: "DATA_REPL_STATUS",
    415: "DATA_CHECKSUM", 420: "DATA_MODIFY_TIME", 500: "COLL_ID", 501: "COLL_NAME", 502: "COLL_PARENT_NAME",
    503: "", 504: "", 505: "", 506: "", 507: "", 508: "COLL_TIME", 509: "COLL_TIME",
    600: "META_DATA_ATTR_NAME", 601: "META_DATA_ATTR_VALUE", 602: "META_DATA_ATTR_UNITS", 603: "META_DATA_ATTR_ID",
}  # fmt: skip


def collated(text: str) -> tuple[str, str]:
    return text.casefold(), text


def rows(zone: Zone, columns: set[str]) -> Iterator[Row]:
    """Of the join of what `columns` are of."""
    if not any(column.startswith(("DATA", "META")) for column in columns):
        for path in zone.collections:
            if zone.seen(path):
                parent = path.rpartition("/")[0] or "/"
                yield {
                    "COLL_NAME": path,
                    "COLL_PARENT_NAME": parent,
                    "COLL_ID": str(hash(path) % 10**6),
                    "COLL_TIME": "01700000000",
                    "": "",
                }
        return
    for path, entry in zone.entries.items():
        if not zone.seen(path):
            continue
        collection, _, name = path.rpartition("/")
        base = {"COLL_NAME": collection, "DATA_NAME": name, "DATA_ID": str(entry.id)}
        if any(column.startswith("META") for column in columns):
            for number, (attribute, value, unit) in enumerate(entry.avus):
                yield {
                    **base,
                    "META_DATA_ATTR_NAME": attribute,
                    "META_DATA_ATTR_VALUE": value,
                    "META_DATA_ATTR_UNITS": unit,
                    "META_DATA_ATTR_ID": f"{entry.id}{number:04}",
                }
            continue
        for replica in entry.replicas:
            yield {
                **base,
                "DATA_REPL_NUM": str(replica.number),
                "DATA_REPL_STATUS": replica.status,
                "DATA_SIZE": str(replica.size),
                "DATA_CHECKSUM": replica.checksum,
                "DATA_MODIFY_TIME": f"{replica.modified:011}",
            }


def compare(column: str, operator: str, value: str) -> Callable[[Row], bool]:
    if operator == "like":
        pattern = re.compile(translate(value.replace("%", "*")))
        return lambda row: bool(pattern.match(row[column]))
    if operator == "=":
        return lambda row: row[column] == value
    if operator == "<>":
        return lambda row: row[column] != value
    assert operator == ">", operator
    return lambda row: collated(row[column]) > collated(value)


def genquery2(zone: Zone, text: str) -> list[list[str]]:
    tokens = _tokens(text)
    if tokens.pop(0).lower() != "select":
        raise Refused(ex.SYS_INVALID_INPUT_PARAM)
    columns = _names(tokens)
    where: Callable[[Row], bool] = lambda row: True  # noqa: E731  (until there is another)
    if tokens and tokens[0].lower() == "where":
        tokens.pop(0)
        where = _or(tokens)
    order: list[str] = []
    if tokens and tokens[0].lower() == "order":
        del tokens[:2]
        order = _names(tokens)
    limit = 256
    if tokens and tokens[0].lower() == "limit":
        limit = int(tokens[1])
        del tokens[:2]
    assert not tokens, tokens
    known = re.findall(r"\b(?:DATA|COLL|META)_\w+", re.sub(r"'(?:''|[^'])*'", "", text))
    found = [row for row in rows(zone, set(known)) if where(row)]
    found.sort(key=lambda row: [collated(row[column]) for column in order])
    distinct = dict.fromkeys(tuple(row[column] for column in columns) for row in found)
    return [list(values) for values in distinct][:limit]


def _tokens(text: str) -> list[str]:
    tokens, at = [], 0
    while at < len(text.rstrip()):
        match = _TOKEN.match(text, at)
        if not match:
            raise Refused(ex.SYS_INVALID_INPUT_PARAM)
        tokens.append(match[1])
        at = match.end()
    return tokens


def _names(tokens: list[str]) -> list[str]:
    names = [tokens.pop(0)]
    while tokens and tokens[0] == ",":
        tokens.pop(0)
        names.append(tokens.pop(0))
    return names


def _or(tokens: list[str]) -> Callable[[Row], bool]:
    terms = [_and(tokens)]
    while tokens and tokens[0].lower() == "or":
        tokens.pop(0)
        terms.append(_and(tokens))
    return lambda row: any(term(row) for term in terms)


def _and(tokens: list[str]) -> Callable[[Row], bool]:
    terms = [_term(tokens)]
    while tokens and tokens[0].lower() == "and":
        tokens.pop(0)
        terms.append(_term(tokens))
    return lambda row: all(term(row) for term in terms)


def _term(tokens: list[str]) -> Callable[[Row], bool]:
    if tokens[0] == "(":
        tokens.pop(0)
        inner = _or(tokens)
        assert tokens.pop(0) == ")"
        return inner
    column, operator, literal = tokens.pop(0), tokens.pop(0).lower(), tokens.pop(0)
    value = literal[1:-1].replace("''", "'")
    return compare(column, operator, re.sub(r"\\x([0-9a-fA-F]{2})", lambda match: chr(int(match[1], 16)), value))


class Pages:
    """The open queries of one agent: another agent knows nothing of them."""

    def __init__(self) -> None:
        self._open: dict[int, tuple[list[int], list[Row]]] = {}
        self._numbers = count(1)

    def ask(self, zone: Zone, request: GenQueryRequest) -> GenQueryResponse:
        limit, number = request.maxRows, request.continueInx
        if number:
            columns, left = self._open.pop(number)  # KeyError: the agent crashes, as the real one may
            if limit <= 0:
                raise Refused(ex.CAT_NO_ROWS_FOUND)
        else:
            selected = request.InxIvalPair_PI
            columns = list(selected.inx)
            left = self._first(zone, request, columns, list(selected.ivalue))
        if not left:
            raise Refused(ex.CAT_NO_ROWS_FOUND)
        page, rest = left[:limit], left[limit:]
        following = 0
        if rest:
            following = next(self._numbers)
            self._open[following] = columns, rest
        return GenQueryResponse(
            rowCnt=len(page),
            attriCnt=len(columns),
            continueInx=following,
            totalRowCount=0,
            SqlResult_PI=[
                GenQueryResponseColumn(attriInx=column, reslen=1, value=[row[_GENQUERY1[column]] for row in page])
                for column in columns
            ],
        )

    def _first(self, zone: Zone, request: GenQueryRequest, columns: list[int], flags: list[int]) -> list[Row]:
        conditions: list[Callable[[Row], bool]] = []
        known = {_GENQUERY1[column] for column in columns}
        if request.InxValPair_PI.isLen:
            for column, text in zip(request.InxValPair_PI.inx, request.InxValPair_PI.svalue, strict=True):
                operator, _, literal = text.partition(" ")
                known.add(_GENQUERY1[column])
                conditions.append(compare(_GENQUERY1[column], operator, literal[1:-1]))
        found: list[Any] = [row for row in rows(zone, known) if all(condition(row) for condition in conditions)]
        order = [_GENQUERY1[column] for column, flag in zip(columns, flags, strict=True) if flag & 0x400]
        found.sort(key=lambda row: [collated(row[column]) for column in order])
        wanted = [_GENQUERY1[column] for column in columns]
        return list({tuple(row[column] for column in wanted): row for row in found}.values())
