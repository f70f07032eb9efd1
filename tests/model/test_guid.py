"""GUIDs: version 7, unique, in order; and every spelling of one made the same."""

from __future__ import annotations

import time
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.model.errors import InvalidRequest
from lading.model.guid import canonical, new_guids


@pytest.mark.parametrize("count", [0, 1, 2, 1000, 10_000, 50_000])
def test_many_at_once_are_unique_and_in_order(count: int) -> None:
    guids = new_guids(count)
    assert len(guids) == len(set(guids)) == count
    assert guids == sorted(guids)


def test_they_are_uuids_of_version_7_of_now() -> None:
    before = time.time_ns() // 1_000_000
    guids = new_guids(500)
    for text in guids:
        parsed = uuid.UUID(text)
        assert str(parsed) == text
        assert parsed.version == 7
        assert parsed.variant == uuid.RFC_4122
        assert before <= parsed.int >> 80 <= time.time_ns() // 1_000_000 + 1


def test_calls_do_not_repeat_each_other() -> None:
    found = [g for _ in range(200) for g in new_guids(50)]
    assert len(set(found)) == len(found)


@given(st.uuids())
def test_every_spelling_has_one_form(value: uuid.UUID) -> None:
    spellings = [str(value), str(value).upper(), value.hex, f"{{{value}}}", value.urn]
    assert {canonical(s) for s in spellings} == {str(value)}


@pytest.mark.parametrize("text", ["", "x", "1234", "0190a0b2-7c3d-7e4f-8a1b-2c3d4e5f607", "g" * 32, "\x1b[31m" * 20])
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="is not a GUID") as caught:
        canonical(text)
    assert caught.value.message.isprintable()
