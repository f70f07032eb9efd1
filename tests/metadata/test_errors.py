"""Errors of queries: the exact place, what was expected, what to write instead."""

from __future__ import annotations

import msgspec
import pytest

from lading.model.errors import InvalidRequest, from_fault
from metadata.language.errors import At, either

from .support import refusal


@pytest.mark.parametrize(
    ("query", "line", "column", "words"),
    [
        ("modality = MRI", 1, 12, ['expected a value', 'found "MRI"', 'text goes in quotes: "MRI"']),
        ('modality == "x"', 1, 11, ["equality is written with one ="]),
        ('modality <> "x"', 1, 11, ["write != for 'differs from'"]),
        ('modality "x"', 1, 10, ["expected an operator (= != <", 'found "x"']),
        ('modality contains "x"', 1, 10, ['write like "*text*"']),
        ("qc is null", 1, 4, ["write 'NAME exists' or 'NAME missing'"]),
        ("qc exits", 1, 4, ["did you mean exists?"]),
        ("qc exists adn site exists", 1, 11, ["expected 'and', 'or' or the end of the query", "did you mean and?"]),
        ("qc exists && site exists", 1, 11, ["write and"]),
        ("(qc exists", 1, 11, ["expected 'and', 'or' or ')', found the end of the query"]),
        ("qc exists)", 1, 10, ["expected 'and', 'or' or the end of the query, found \")\""]),
        ("qc exists\nand\n\n   )", 4, 4, ["expected a field name, not or '('"]),
        ("", 1, 1, ["the query is empty: write true for everything"]),
        ("  \n ", 1, 1, ["the query is empty"]),
        ("qc exists and  ", 1, 14, ["expected a field name, not or '(', found the end of the query"]),
        ("qc", 1, 3, ["expected an operator", "found the end of the query"]),
        ('site = "LYO', 1, 8, ["this text has no closing quote"]),
        ("site = “LYO”", 1, 8, ["text goes between straight quotes"]),
        ("site in ()", 1, 10, ["expected a value"]),
        ('site in ("a" "b")', 1, 14, ["expected ',' or ')', found \"b\""]),
        ('site in "a"', 1, 9, ["expected '(', found \"a\""]),
        ("site like 3", 1, 11, ["expected text in quotes"]),
        ("site not exists", 1, 10, ["expected 'in', 'between' or 'like'"]),
        ("subject_age between 1 or 2", 1, 23, ["expected 'and', found \"or\""]),
        ("seen > now - 7x", 1, 14, ["expected a span of time such as 7d"]),
        ("params[ = 3", 1, 9, ["expected a number or a key in quotes"]),
        ("params[0 = 3", 1, 10, ["expected ']'"]),
        ("and = 1", 1, 1, ["'and' is a word of the language"]),
        ("été = 1", 1, 1, ["expected a field name"]),
        ("mоdality = 'x'", 1, 2, ["expected an operator"]),  # the first o is Cyrillic
        ("in dataset", 1, 11, ["expected text in quotes"]),
        ("subject_age < 18\n  and modaliti = 'MRI'", 2, 7, ["no field 'modaliti'", "did you mean modality?"]),
        ("MODALITY = 'x'", 1, 1, ["did you mean modality?"]),
        ("sise > 3", 1, 1, ["did you mean size?"]),
        ("zzzzzz = 1", 1, 1, ["there is no field 'zzzzzz'"]),
        ("modality.x = 1", 1, 1, ["no field 'modality.x'", "did you mean modality?"]),
        ("modality[0] = 1", 1, 1, ["modality is a field of type string: it has no parts"]),
        ("size[0] = 1", 1, 1, ["it has no parts"]),
        ("voxel_size = '1.5'", 1, 14, ["voxel_size is a float: compare it with a number, such as voxel_size = 1.5"]),
        ("subject_age in (1, true)", 1, 20, ["subject_age is an int", "such as subject_age in (3)"]),
        ("subject_age = 1.5", 1, 15, ["subject_age is an int, which is never 1.5"]),
        ("subject_age < 1e300", 1, 15, ["beyond 64 bits"]),
        ("site = 3", 1, 8, ['site is a string: compare it with text in quotes, such as site = "text"']),
        ("site = 2024-01-01", 1, 8, ["site is a string"]),
        ("qc = 1", 1, 6, ["qc is a bool: compare it with true or false, such as qc = true"]),
        ("qc < true", 1, 1, ["'<' can't be asked of qc", "it knows: =, !=, in, not in, exists, missing"]),
        ("seen > 5", 1, 8, ["seen is a timestamp", "such as seen > 2024-01-31"]),
        ("seen = 'yesterday'", 1, 8, ["seen is a timestamp: 'yesterday' is not a date"]),
        ("seen > now + 999999999w", 1, 8, ["outside the years 0001 to 9999"]),
        ("acquired = 2024-01-01T12:00Z", 1, 12, ["acquired is a date", "such as acquired = 2024-01-31"]),
        ("acquired between 1 and 2", 1, 18, ["such as acquired between 2024-01-31 and 2024-01-31"]),
        ("acquired = '2024-13-01'", 1, 12, ["there is no date 2024-13-01"]),
        ("params.t = 2024-01-01", 1, 12, ["params.t is JSON"]),
        ("params.t < true", 1, 12, ["true and false have no order"]),
        ("params.t between 1 and 'x'", 1, 24, ["must be of one type"]),
        ("subject_age between 5 and 1", 1, 21, ["from the smaller to the larger"]),
        ("site ~ '(a+)+'", 1, 9, ["regular expression, at character 1", "a repetition of something that holds"]),
        ("site ~ 'ab(?=c)'", 1, 11, ["regular expression, at character 3", "look-around"]),
        (r"site ~ 'a\\1'", 1, 8, ["regular expression, at character 2"]),
        ("name like 'a[b'", 1, 13, ["in this glob, at character 2", "never closed"]),
        ("kind = 'dir'", 1, 8, ["kind is 'file', 'directory' or 'link'"]),
        ("state = 'availabel'", 1, 9, ["did you mean 'available'?"]),
        ("se < 'x'", 1, 1, ["'<' can't be asked of se"]),
        ("guid = 'x'", 1, 8, ["guid:", "not a GUID"]),
        ("md5 = '12'", 1, 7, ["md5:", "not 32 hexadecimal digits"]),
        ("lfn = 'x'", 1, 7, ["lfn:", "must be absolute"]),
        ("ancestor of 'x'", 1, 1, ["is not an LFN"]),
        ("in dataset ''", 1, 1, ["names no dataset"]),
    ],
)  # fmt: skip
def test_errors_say_where_and_what(query: str, line: int, column: int, words: list[str]) -> None:
    error = refusal(query)
    assert (error.line, error.column) == (line, column)
    for some in words:
        assert some in error.message
    assert error.message.startswith(f"line {line}, column {column}: ")
    shown, caret = error.details["snippet"].split("\n")
    assert caret.index("^") <= len(shown)


def test_the_snippet_points_at_the_place() -> None:
    error = refusal('qc exists\n  and modality = "a\\tb" or\tsise > 3')
    assert error.details["snippet"] == '  and modality = "a\\tb" or·sise > 3\n' + " " * 27 + "^"
    assert error.details["suggestion"] == "size"
    long = refusal("qc exists and " * 50 + "sise > 3" + " and qc exists" * 50)
    shown, caret = long.details["snippet"].split("\n")
    assert len(shown) <= 100
    assert shown[caret.index("^") :].startswith("sise > 3")


def test_the_error_travels_as_an_invalid_request() -> None:
    error = refusal("modality = MRI")
    fault = msgspec.json.decode(msgspec.json.encode(error.fault()), type=type(error.fault()))
    assert fault.code == "invalid_request"
    assert fault.details["line"] == 1
    assert fault.details["column"] == 12
    assert fault.details["expected"] == list(error.expected)
    assert fault.details["suggestion"] == '"MRI"'
    assert isinstance(from_fault(fault), InvalidRequest)


def test_places_count_characters_and_lines() -> None:
    text = "é\n\U0001f4e6x"
    assert [(At(text, i).line, At(text, i).column) for i in range(5)] == [(1, 1), (1, 2), (2, 1), (2, 2), (2, 3)]


def test_words_are_joined_as_people_do() -> None:
    assert [either(w) for w in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == ["", "a", "a or b", "a, b or c"]
