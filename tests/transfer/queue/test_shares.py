"""No limit is passed, nobody is forgotten, and shares come out as their weights."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from transfer.queue.shares import Lane, Limits, Share, allot

A, B, C, D = 1, 2, 3, 4


def lane(number: int, source: int = A, target: int = B, activity: str = "user", group: int = 1) -> Lane:
    return Lane(number, source, target, activity, group)


def test_shares_come_out_as_their_weights() -> None:
    lanes = [lane(1, activity="user"), lane(2, activity="production"), lane(3, activity="debug")]
    shares = {"user": Share(3), "production": Share(6), "debug": Share(1)}
    limits = Limits(links={(A, B): 1000}, elements={A: 1000, B: 1000}, activities=shares)
    assert allot(lanes, [], limits, 60) == {1: 18, 2: 36, 3: 6}


def test_groups_share_an_activity() -> None:
    lanes = [lane(1, group=1), lane(2, group=2)]
    assert allot(lanes, [], Limits(links={(A, B): 40}), 40) == {1: 20, 2: 20}
    # One that has 30 under way waits until the other has as many.
    assert allot(lanes, [(lane(0, group=1), 30)], Limits(links={(A, B): 100}), 30) == {2: 30}


def test_a_busy_link_holds_up_no_other() -> None:
    lanes = [lane(1), lane(2, C, D)]
    limits = Limits(links={(A, B): 2})
    assert allot(lanes, [(lane(0), 2)], limits, 8) == {2: 8}


def test_an_activity_that_may_not_leaves_its_turn() -> None:
    lanes = [lane(1, activity="a"), lane(2, C, D, activity="b")]
    limits = Limits(activities={"a": Share(1000, most=0)})
    assert allot(lanes, [], limits, 5) == {2: 5}


def test_copies_within_an_element_count_once() -> None:
    assert allot([lane(1, A, A)], [], Limits(links={(A, A): 9}, elements={A: 5}), 10) == {1: 5}


lanes_ = st.lists(
    st.tuples(st.integers(1, 5), st.integers(1, 5), st.sampled_from("abc"), st.integers(1, 3)), unique=True, max_size=20
).map(lambda found: [Lane(n + 1, *one) for n, one in enumerate(found)])
limits_ = st.builds(
    Limits,
    links=st.dictionaries(st.tuples(st.integers(1, 5), st.integers(1, 5)), st.integers(0, 9)),
    elements=st.dictionaries(st.integers(1, 5), st.integers(0, 20)),
    activities=st.dictionaries(
        st.sampled_from("abc"), st.builds(Share, st.floats(0.1, 10), st.none() | st.integers(0, 9))
    ),
    groups=st.dictionaries(st.integers(1, 3), st.builds(Share, st.floats(0.1, 10), st.none() | st.integers(0, 9))),
)


def most(share: Share | None) -> int:
    return 10**9 if share is None or share.most is None else share.most


@given(lanes_, limits_, st.integers(0, 300), st.data())
def test_no_limit_is_passed_and_no_room_is_left(
    lanes: list[Lane], limits: Limits, wanted: int, data: st.DataObject
) -> None:
    counts = data.draw(st.lists(st.integers(0, 3), min_size=len(lanes), max_size=len(lanes)))
    # What is under way was begun within the limits of its time, which may have been others.
    active = list(zip(lanes, counts, strict=True))
    links, elements, activities, groups = (Counter[object]() for _ in range(4))
    given = allot(lanes, active, limits, wanted)
    by_id = {one.id: one for one in lanes}
    assert sum(given.values()) <= wanted
    assert all(count > 0 for count in given.values())
    totals = Counter({one.id: count for one, count in active}) + Counter(given)
    for number, count in totals.items():
        one = by_id[number]
        links[one.source, one.target] += count
        elements.update(dict.fromkeys({one.source, one.target}, count))
        activities[one.activity] += count
        groups[one.group] += count
    for number in given:
        one = by_id[number]
        assert links[one.source, one.target] <= limits.link(one.source, one.target)
        assert all(elements[e] <= limits.element(e) for e in (one.source, one.target))
        assert activities[one.activity] <= most(limits.activities.get(one.activity))
        assert groups[one.group] <= most(limits.groups.get(one.group))
    if sum(given.values()) < wanted:  # then every lane is held by some limit
        for one in lanes:
            mosts = [
                limits.link(one.source, one.target) - links[one.source, one.target],
                *(limits.element(e) - elements[e] for e in {one.source, one.target}),
            ]
            for share, used in (
                (limits.activities.get(one.activity), activities[one.activity]),
                (limits.groups.get(one.group), groups[one.group]),
            ):
                if share and share.most is not None:
                    mosts.append(share.most - used)
            assert min(mosts) <= 0
