"""What a file comes to by what is wanted of it; and that rules, drains, drops and users at once never take what is
needed."""

from __future__ import annotations

from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.transfer.work.test_drain import At
from transfer.requests.choices import AVAILABLE, SUSPECT, Known, Need, Pool, as_many, copy, drops, leaving, made_up
from transfer.rules.needs import upkeep

NUMBERS = range(1, 7)
SOME = st.frozensets(st.sampled_from(NUMBERS), min_size=1)
NEEDS = st.lists(st.builds(Need, st.integers(1, 3), SOME, st.just(1)), max_size=3)


def elements() -> dict[int, Any]:
    return {number: At(number) for number in NUMBERS}


def one(*copies: int, **bad: int) -> Known:
    return Known(1, "/vo/f", 1, {**dict.fromkeys(copies, AVAILABLE), **{int(k[1:]): v for k, v in bad.items()}})


def test_one_copy_serves_several_wants() -> None:
    disk, french = Need(2, frozenset({1, 2, 3})), Need(1, frozenset({3}))
    result = upkeep(one(4), [disk, french], Pool(elements()))
    assert sorted(target for _, _, target in result.orders) == [1, 3]
    result = upkeep(one(1, 2), [disk, french], Pool(elements()))
    assert [(number, target) for number, _, target in result.orders] == [(1, 3)]
    assert result.surplus == []
    assert upkeep(one(1, 2, 3), [disk, french], Pool(elements())).surplus in ([1], [2])


def test_what_is_on_its_way_counts_and_is_no_reason_to_drop() -> None:
    result = upkeep(one(1), [Need(2, frozenset({1, 2, 3}))], Pool(elements()), coming={3})
    assert (result.orders, result.surplus) == ([], [])
    assert (result.lacks[0].coming, result.lacks[0].missing) == (1, 0)


def test_where_it_failed_of_late_it_is_not_tried() -> None:
    need = Need(3, frozenset({1, 2, 3}))
    result = upkeep(one(1), [need], Pool(elements()), failed={2: "full"})
    assert [target for _, _, target in result.orders] == [3]
    assert (result.lacks[0].coming, result.lacks[0].missing, result.lacks[0].why) == (
        1,
        1,
        "it failed of late to '2': full",
    )


def test_a_bad_copy_counts_for_nothing_and_goes_when_all_is_well() -> None:
    need = Need(1, frozenset({1, 2}))
    assert upkeep(one(1, b2=SUSPECT), [need], Pool(elements())).surplus == [2]
    assert upkeep(one(b2=SUSPECT), [need], Pool(elements())).surplus == []
    assert [t for _, _, t in upkeep(one(b2=SUSPECT), [need], Pool(elements())).orders] == [1], "it is all there is"
    assert [t for _, _, t in upkeep(one(5, b2=SUSPECT), [need], Pool(elements())).orders] == [2], "in its place"


def test_one_that_stands_still_orders_and_drops_nothing() -> None:
    still = Need(1, frozenset({1, 2, 3}), 7, orders=False)
    assert upkeep(one(1, 2), [still], Pool(elements())).surplus == []
    assert upkeep(one(5), [still], Pool(elements())).orders == []
    assert upkeep(one(1, 2), [still, Need(1, frozenset({2}))], Pool(elements())).surplus == []


@given(st.dictionaries(st.sampled_from(NUMBERS), st.sampled_from([AVAILABLE, SUSPECT]), min_size=1), NEEDS)
def test_it_comes_to_rest(copies: dict[int, int], needs: list[Need]) -> None:
    """When all that is ordered is made and all that is surplus dropped, nothing is left to do: no back and forth."""
    assume(AVAILABLE in copies.values())
    for _ in range(3):
        result = upkeep(Known(1, "/vo/f", 1, copies), needs, Pool(elements()))
        for _, source, target in result.orders:
            assert source in copies
            copies[target] = AVAILABLE
        for element in result.surplus:
            del copies[element]
        assert copies
    assert (result.orders, result.surplus) == ([], [])
    good = {e for e, state in copies.items() if state == AVAILABLE}
    for need in needs:
        assert not need.orders or len(need.elements & good) >= min(need.copies, len(need.elements))


class Everybody(RuleBasedStateMachine):
    """One file, and all who are at its copies: the keeper, a drain, users who drop and move, storage that loses; each
    step is what is one transaction of theirs, in any order. Rules come and go."""

    def __init__(self) -> None:
        super().__init__()
        self.copies: dict[int, int] = {}
        self.needs: list[Need] = []
        self.coming: set[int] = set()
        self.moves: list[tuple[int, frozenset[int]]] = []  # (target, sources) of a drain, ordered
        self.surplus: list[int] = []

    @initialize(first=st.sampled_from(NUMBERS))
    def there(self, first: int) -> None:
        self.copies = {first: AVAILABLE}

    def _file(self) -> Known:
        return Known(1, "/vo/f", 1, dict(self.copies))

    def _good(self) -> set[int]:
        return {e for e, state in self.copies.items() if state == AVAILABLE}

    def _drop(self, wanted: list[int]) -> None:
        """What every drop does, with the file locked."""
        before = self._good()
        for element in drops(self._file(), wanted, self.needs)[0]:
            del self.copies[element]
        after = self._good()
        assert bool(after) == bool(before)
        for need in self.needs:
            assert len(need.elements & after) >= min(need.copies, len(need.elements & before)), need

    @rule(needs=NEEDS)
    def rules_change(self, needs: list[Need]) -> None:
        self.needs = needs

    @rule()
    def keeper_looks(self) -> None:
        result = upkeep(self._file(), self.needs, Pool(elements()), coming=self.coming)
        self.coming |= {target for _, _, target in result.orders}
        self.surplus = result.surplus

    @precondition(lambda self: self.coming)
    @rule(data=st.data(), fails=st.booleans())
    def copy_ends(self, data: st.DataObject, fails: bool) -> None:
        target = data.draw(st.sampled_from(sorted(self.coming)))
        self.coming.discard(target)
        if not fails and self._good() - {target}:
            self.copies[target] = AVAILABLE

    @precondition(lambda self: self.surplus)
    @rule()
    def grace_is_over(self) -> None:
        """What was noted some time ago is dropped only if it is surplus yet."""
        now = upkeep(self._file(), self.needs, Pool(elements()), coming=self.coming).surplus
        self._drop([e for e in now if e in self.surplus])
        self.surplus = []

    @rule(sources=SOME)
    def drain_plans(self, sources: frozenset[int]) -> None:
        pool = Pool(elements(), [At(n) for n in NUMBERS if n not in sources], sources)
        file = self._file()
        choice = copy(file, pool, as_many(file, pool), "others", anywhere=True)
        self.moves += [(target, sources) for _, target in choice.transfers]
        if choice.refusal is None and not choice.transfers:
            self._drop(leaving(file, pool))

    @precondition(lambda self: self.moves)
    @rule()
    def drain_moves(self) -> None:
        target, sources = self.moves.pop()
        if self._good() - {target}:
            self.copies[target] = AVAILABLE
            pool = Pool(elements(), [At(n) for n in NUMBERS if n not in sources], sources)
            self._drop(made_up(self._file(), leaving(self._file(), pool), 1))

    @rule(wanted=st.lists(st.sampled_from(NUMBERS)))
    def user_drops(self, wanted: list[int]) -> None:
        self._drop(wanted)

    @rule(element=st.sampled_from(NUMBERS))
    def storage_loses(self, element: int) -> None:
        if element in self.copies and self._good() - {element}:
            self.copies[element] = SUSPECT

    @invariant()
    def never_the_last_good_copy(self) -> None:
        assert not self.copies or self._good()


TestEverybody = Everybody.TestCase
