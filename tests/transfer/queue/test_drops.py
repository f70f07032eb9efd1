"""Which copies may go: never the last good one, never one that a standing wish counts on."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from transfer.requests.choices import AVAILABLE, SUSPECT, Known, Need, drops

_ELEMENTS = st.integers(1, 6)
_NEEDS = st.lists(st.builds(Need, st.integers(1, 4), st.frozensets(_ELEMENTS, max_size=6)), max_size=3)
_COPIES = st.dictionaries(_ELEMENTS, st.sampled_from([AVAILABLE, SUSPECT]), min_size=1)


def _good(copies: dict[int, int]) -> set[int]:
    return {e for e, state in copies.items() if state == AVAILABLE}


@given(_COPIES, st.lists(_ELEMENTS), _NEEDS)
def test_no_drop_takes_what_is_needed(copies: dict[int, int], wanted: list[int], needs: list[Need]) -> None:
    going, kept = drops(Known(1, "/vo/f", 0, copies), wanted, needs)
    left = {e: state for e, state in copies.items() if e not in going}
    assert left
    assert set(going) <= set(wanted) & set(copies)
    assert len(set(going)) == len(going)
    assert bool(_good(left)) == bool(_good(copies))
    for need in needs:
        before, after = len(_good(copies) & need.elements), len(_good(left) & need.elements)
        assert after >= min(before, need.copies)
    assert kept == (set(going) != set(wanted) & set(copies))


@given(_COPIES, st.lists(_ELEMENTS))
def test_without_needs_all_goes_but_one_good_copy(copies: dict[int, int], wanted: list[int]) -> None:
    going, _ = drops(Known(1, "/vo/f", 0, copies), wanted)
    stays = set(wanted) & set(copies) - set(going)
    assert len(stays) <= 1


def test_a_copy_beyond_what_is_needed_goes() -> None:
    file = Known(1, "/vo/f", 0, {1: AVAILABLE, 2: AVAILABLE, 3: AVAILABLE})
    need = Need(2, frozenset({1, 2, 3}), 7)
    assert drops(file, [1, 2], [need]) == ([1], True)
    assert drops(file, [1, 2], [need, Need(1, frozenset({1}))]) == ([2], True)
