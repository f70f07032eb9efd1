"""Names to fields, operands to stored form, and what each operator means on each type."""

from __future__ import annotations

import re
from typing import Any

import pytest

from lading.model.field import FieldType
from metadata.language.bind import bind
from metadata.language.errors import QueryError
from metadata.language.evaluate import Record, evaluate
from metadata.language.parse import parse
from metadata.language.tree import And, Bound, Op, Or, Relation
from metadata.moments import DAY, parse_date, parse_time
from metadata.operators import BY_TYPE
from metadata.standard import STANDARD, StandardField, checksum_values, extension, find

from .support import FIELDS, NOW, ask, refusal

START = parse_time("2024-01-01T00:00:00Z")


def leaf(query: str) -> Bound:
    tree = bind(parse(query), FIELDS, now=NOW)
    assert isinstance(tree, Bound)
    return tree


@pytest.mark.parametrize(
    ("query", "name", "path"),
    [
        ("params.te[0] > 3", "params", ("te", "0")),
        ("params exists", "params", ()),
        ("params.full.name = 3", "params.full.name", ()),
        ("params.full.other = 3", "params", ("full", "other")),
        ("dotted.tree.a.b = 3", "dotted.tree", ("a", "b")),
        ("run-id = 3", "run-id", ()),
        ("path = '/a'", "lfn", ()),
        ("lfn = '/a'", "lfn", ()),
    ],
)
def test_the_longest_declared_name_wins_and_the_rest_is_a_path(query: str, name: str, path: tuple[str, ...]) -> None:
    assert leaf(query).field.name == name
    assert leaf(query).path == path


@pytest.mark.parametrize(
    ("query", "op", "values", "negated"),
    [
        ("seen = 2024-01-01", Op.BETWEEN, (START, START + DAY - 1), False),
        ("seen != 2024-01-01", Op.BETWEEN, (START, START + DAY - 1), True),
        ("seen < 2024-01-01", Op.LT, (START,), False),
        ("seen <= 2024-01-01", Op.LE, (START + DAY - 1,), False),
        ("seen > 2024-01-01", Op.GT, (START + DAY - 1,), False),
        ("seen >= 2024-01-01", Op.GE, (START,), False),
        ("seen between 2024-01-01 and 2024-01-02", Op.BETWEEN, (START, START + 2 * DAY - 1), False),
        ("seen not between 2024-01-01 and 2024-01-01", Op.BETWEEN, (START, START + DAY - 1), True),
        ("seen = '2024-01-01'", Op.BETWEEN, (START, START + DAY - 1), False),
        ("seen in (2024-01-01, '2024-01-01')", Op.BETWEEN, (START, START + DAY - 1), False),
        ("seen = 2024-01-01T00:00:00Z", Op.EQ, (START,), False),
        ("seen > now - 1d", Op.GT, (NOW - DAY,), False),
        ("acquired > now - 1d", Op.GT, (parse_date("2024-06-14"),), False),
        ("acquired in (2024-01-01, '2024-01-02')", Op.IN, (19723, 19724), False),
        ("subject_age <= 1.5", Op.LE, (1,), False),
        ("subject_age < 1.5", Op.LT, (2,), False),
        ("subject_age >= 1.5", Op.GE, (2,), False),
        ("subject_age > 1.5", Op.GT, (1,), False),
        ("subject_age between 1.5 and 3.5", Op.BETWEEN, (2, 3), False),
        ("subject_age = 3.0", Op.EQ, (3,), False),
        ("subject_age not in (1, 2, 1)", Op.IN, (1, 2), True),
        ("voxel_size = 2", Op.EQ, (2.0,), False),
        ("size > 10 MB", Op.GT, (10_000_000,), False),
        ("subject_age missing", Op.EXISTS, (), True),
        ("name not like '*\\**'", Op.LIKE, ("*\\**",), True),
        (r"name !~ '^\d+\.'", Op.MATCH, (r"^[0-9]+\.",), True),
        ("params.x in (1, true, 'a', 1.5)", Op.IN, (1, True, "a", 1.5), False),
        ("guid = '0190A0B27C3D7E4F8A1B2C3D4E5F6071'", Op.EQ, ("0190a0b2-7c3d-7e4f-8a1b-2c3d4e5f6071",), False),
        ("adler32 = '0xABC'", Op.EQ, ("00000abc",), False),
        ("checksum in ('ABC')", Op.IN, ("00000abc",), False),
        ("ext = '.gz'", Op.EQ, ("gz",), False),
        ("dir = '/vo/'", Op.EQ, ("/vo",), False),
        ("lfn >= '/vo/'", Op.GE, ("/vo/",), False),
    ],
)  # fmt: skip
def test_operands_in_stored_form(query: str, op: Op, values: tuple[Any, ...], negated: bool) -> None:
    bound = leaf(query)
    assert (bound.op, bound.values, bound.negated) == (op, values, negated)
    assert [type(v) for v in bound.values] == [type(v) for v in values]


def test_days_in_a_list_become_ranges_beside_the_instants() -> None:
    query = "(2024-01-01, 2024-01-03T06:00Z, 2024-01-05)"
    some, none = (bind(parse(f"seen {op} {query}"), FIELDS, now=NOW) for op in ("in", "not in"))
    assert isinstance(some, Or)
    assert isinstance(none, And)
    for day, inside in (
        ("2024-01-01T23:59:59.999999Z", True),
        ("2024-01-03T06:00:00Z", True),
        ("2024-01-04T00:00Z", False),
    ):
        record = Record({"seen": parse_time(day)})
        assert evaluate(some, record) is inside
        assert evaluate(none, record) is not inside
    assert not evaluate(none, Record())


def test_a_relative_between_may_be_empty_without_being_an_error() -> None:
    assert leaf("seen between now and 2020-01-01").op is Op.BETWEEN
    with pytest.raises(QueryError, match="from the smaller to the larger"):
        bind(parse("seen between 2021-01-01 and 2020-01-01"), FIELDS)


EDGE = [
    ("2023-12-31T23:59:59.999999Z", "< <="),
    ("2024-01-01T00:00:00Z", "<= = >="),
    ("2024-01-01T23:59:59.999999Z", "<= = >="),
    ("2024-01-02T00:00:00Z", "> >="),
]


@pytest.mark.parametrize(("moment", "true"), EDGE)
@pytest.mark.parametrize("op", ["<", "<=", "=", ">=", ">"])
def test_a_date_on_a_timestamp_is_the_whole_day(moment: str, true: str, op: str) -> None:
    assert ask(f"seen {op} 2024-01-01", {"seen": parse_time(moment)}) is (op in true.split())


OPERANDS = {
    FieldType.INT: "3",
    FieldType.FLOAT: "1.5",
    FieldType.BOOL: "true",
    FieldType.STRING: '"x"',
    FieldType.TIMESTAMP: "2024-01-01",
    FieldType.DATE: "2024-01-01",
    FieldType.JSON: "3",
}


def _query(name: str, op: Op, operand: str) -> str:
    match op.positive:
        case Op.IN:
            return f"{name} {op.value} ({operand})"
        case Op.BETWEEN:
            return f"{name} {op.value} {operand} and {operand}"
        case Op.EXISTS:
            return f"{name} {op.value}"
        case Op.LIKE | Op.MATCH:
            return f"{name} {op.value} 'x'"
    return f"{name} {op.value} {operand}"


@pytest.mark.parametrize("op", list(Op))
@pytest.mark.parametrize("field", [f for f in FIELDS.values() if "." not in f.name], ids=lambda f: f.name)
def test_every_operator_on_every_type_is_bound_or_refused_by_name(field: Any, op: Op) -> None:
    query = _query(field.name, op, OPERANDS[field.type])
    if op in BY_TYPE[field.type]:
        assert leaf(query).negated is op.negated
    else:
        assert f"'{op.value}' can't be asked of {field.name}" in refusal(query).message


@pytest.mark.parametrize("op", list(Op))
@pytest.mark.parametrize("field", list(STANDARD.values()), ids=lambda f: f.name)
def test_every_operator_on_every_standard_field(field: StandardField, op: Op) -> None:
    operand = field.example.replace("d41d8cd9…", "0" * 128)
    if field.name in ("md5", "sha1", "sha256"):
        operand = '"' + "0" * {"md5": 32, "sha1": 40, "sha256": 64}[field.name] + '"'
    query = _query(field.name, op, operand)
    if op in field.operators:
        assert leaf(query).field is field
    else:
        assert f"'{op.value}' can't be asked of {field.name}" in refusal(query).message


@pytest.mark.parametrize("type_", list(FieldType))
@pytest.mark.parametrize(
    "operand",
    ["3", "1.5", "true", '"x"', "2024-01-01", "2024-01-01T00:00:00Z", "now", "10 MB", '"2024-01-01"'],
)
def test_each_type_takes_its_own_operands_alone(type_: FieldType, operand: str) -> None:
    taken = {
        FieldType.INT: ("3", "10 MB"),
        FieldType.FLOAT: ("3", "1.5", "10 MB"),
        FieldType.BOOL: ("true",),
        FieldType.STRING: ('"x"', '"2024-01-01"'),
        FieldType.TIMESTAMP: ("2024-01-01", "2024-01-01T00:00:00Z", "now", '"2024-01-01"'),
        FieldType.DATE: ("2024-01-01", "now", '"2024-01-01"'),
        FieldType.JSON: ("3", "1.5", "true", '"x"', "10 MB", '"2024-01-01"'),
    }
    name = next(f.name for f in FIELDS.values() if f.type is type_)
    if operand in taken[type_]:
        assert leaf(f"{name} = {operand}").field.type is type_
    else:
        assert name in refusal(f"{name} = {operand}").message


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("params.te[0] = 3", True),
        ("params.te.0 = 3", True),
        ("params.te[-1] = 'x'", True),
        ("params.te[7] exists", False),
        ("params.te[-7] exists", False),
        ("params.a.b = true", True),
        ("params['a'].b = true", True),
        ("params['0'] = 'zero'", True),
        ("params.none missing", True),
        ("params.te.x missing", True),
        ("params.a.b.c missing", True),
        ("params.te exists", True),
        ("params.te != 3", True),
        ("params.te = 3", False),
        ("params.te[1] like 'x'", False),
        ("params.te[2] like '?'", True),
        ("params.te[0] like '3'", False),
        ("params.te[0] not like '3'", True),
        ("params.te[2] ~ 'x'", True),
    ],
)
def test_paths_into_json(query: str, wanted: bool) -> None:
    value = {"te": [3, 1.5, "x"], "a": {"b": True}, "none": None, "0": "zero"}
    assert ask(query, {"params": value}) is wanted


def test_relations_are_asked_of_the_caller() -> None:
    tree = bind(parse('ancestor of "/vo/x/" or in dataset "/n"'), FIELDS, now=NOW)
    asked: list[tuple[str, str]] = []

    def no(relation: Relation, target: str) -> bool:
        asked.append((relation.value, target))
        return False

    assert not evaluate(tree, Record(), no)
    assert asked == [("ancestor of", "/vo/x"), ("in dataset", "/n")]
    assert evaluate(tree, Record(), lambda relation, target: target == "/n")
    with pytest.raises(ValueError, match="somebody to ask"):
        evaluate(tree, Record())


def test_an_unbound_tree_is_not_evaluated() -> None:
    with pytest.raises(ValueError, match="only a bound tree"):
        evaluate(parse("size = 1"), Record())


def test_standard_values() -> None:
    assert ask("checksum = 'ABC' and adler32 = 'abc' and md5 missing", **checksum_values({"adler32": "00000abc"}))
    assert ask("size missing and not size > 0")
    assert ask("kind = 'file' and replicas >= 2 and owner like 'al*'", kind="file", replicas=2, owner="alice")
    assert find("path") is STANDARD["lfn"]
    names = {"a.nii.gz": "gz", "README": None, ".profile": None, "a.": None, ".x.y": "y"}
    assert {n: extension(n) for n in names} == names


@pytest.mark.parametrize(
    ("query", "name", "path"),
    [
        ("meta.colour = 'red'", "colour", ()),
        ('meta["my.key"] = 1', "my.key", ()),
        ("meta.a.b[0] = 1", "a", ("b", "0")),
        ('meta["my.key"].x exists', "my.key", ("x",)),
    ],
)
def test_undeclared_keys_are_json_where_a_tree_takes_them(query: str, name: str, path: tuple[str, ...]) -> None:
    bound = bind(parse(query), FIELDS, now=NOW, undeclared=True)
    assert isinstance(bound, Bound)
    assert (bound.field.name, bound.field.type, bound.path) == (name, FieldType.JSON, path)


@pytest.mark.parametrize(
    ("query", "reach", "told"),
    [
        ("meta = 1", True, "meta is followed by a key"),
        ('meta["a b"] = 1', True, "'a b' is none"),
        ("meta.params = 1", True, "'params' is a field: ask for params"),
        ("meta.size = 1", True, "'size' is a field: ask for size"),
        ("meta.colour = 1", False, "no tree that takes undeclared keys"),
        ("colour = 1", True, "a key that nobody declared is meta.colour"),
    ],
)
def test_what_is_no_undeclared_key(query: str, reach: bool, told: str) -> None:
    with pytest.raises(QueryError, match=re.escape(told)):
        bind(parse(query), FIELDS, now=NOW, undeclared=reach)
