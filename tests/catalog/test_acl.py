"""ACLs as values: their text, the access check, inheritance. The oracle is POSIX.1e draft 17 (23.1.5, 23.3.2), written anew."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from catalog.access.acl import EMPTY, Acl, bits, build, complete, inherit, load, parse, shown
from lading.model.errors import InvalidRequest

BITS = st.integers(0, 7)
NAMED = st.dictionaries(st.tuples(st.sampled_from("ug"), st.integers(1, 6)), BITS, max_size=5)


@st.composite
def access_entries(draw: st.DrawFn) -> dict[tuple[str, int], int]:
    """Named entries, which never stand without a mask."""
    entries = draw(NAMED)
    return {**entries, ("m", 0): draw(BITS)} if entries else {}


@st.composite
def default_entries(draw: st.DrawFn) -> dict[tuple[str, int], int]:
    """All of POSIX's: the three own ones always, a mask where somebody is named, and sometimes alone."""
    entries = draw(NAMED)
    for tag in "ugo":
        entries[tag, 0] = draw(BITS)
    if len(entries) > 3 or draw(st.booleans()):
        entries["m", 0] = draw(BITS)
    return entries


ACLS = st.builds(Acl, access_entries(), st.one_of(st.just({}), default_entries()))


def granted(mode: int, owner: int, group: int, acl: Acl, user: int, groups: set[int], wanted: int) -> bool:
    """POSIX.1e's access check for one permission."""
    mask = acl.access.get(("m", 0), 7)
    if user == owner:
        return bool(mode >> 6 & wanted)
    if ("u", user) in acl.access:
        return bool(acl.access["u", user] & mask & wanted)
    entries = [mode >> 3 & 7] if group in groups else []
    entries += [p for (tag, who), p in acl.access.items() if tag == "g" and who in groups]
    if entries:
        return any(p & mask & wanted for p in entries)
    return bool(mode & wanted)


@given(st.integers(0, 0o777), st.integers(1, 6), st.integers(1, 6), ACLS, st.integers(1, 6), st.sets(st.integers(1, 6)))
def test_the_check_is_posix(mode: int, owner: int, group: int, acl: Acl, user: int, groups: set[int]) -> None:
    found = bits(mode, owner, group, acl, user, groups)
    for wanted in (4, 2, 1):
        assert bool(found & wanted) == granted(mode, owner, group, acl, user, groups, wanted)


@pytest.mark.parametrize(
    ("user", "groups", "expected"),
    [
        (1, (), 6),  # the owner, whatever the mask says
        (1, (9, 5), 6),
        (2, (9,), 4),  # a named user within the mask, whatever their groups have
        (3, (), 0),  # a named user with nothing, though others have something
        (4, (9,), 5),  # the owning group within the mask
        (4, (5,), 4),  # a named group within the mask
        (4, (5, 9), 5),  # both: what any of them has
        (4, (6,), 0),  # a named group with nothing, though others have something
        (4, (7,), 1),  # nobody named: others
    ],
)
def test_the_truth_table(user: int, groups: tuple[int, ...], expected: int) -> None:
    acl = Acl({("u", 2): 6, ("u", 3): 0, ("g", 5): 6, ("g", 6): 0, ("m", 0): 5}, {})
    assert bits(0o651 | 0o020, 1, 9, acl, user, groups) == expected


@given(ACLS)
def test_the_text_comes_back(acl: Acl) -> None:
    assert load(acl.text()) == acl
    assert Acl(dict(reversed(acl.access.items())), acl.default).text() == acl.text()


def test_nothing_is_the_empty_text() -> None:
    assert EMPTY.text() == ""
    assert load("") == EMPTY


@given(ACLS)
def test_what_is_shown_can_be_given_back(acl: Acl) -> None:
    names = {n: f"name{n}" for n in range(1, 7)}
    ids = {(tag, f"name{n}"): n for n in range(1, 7) for tag in "ug"}
    assert build(parse(shown(acl, names)), ids) == acl


@pytest.mark.parametrize(
    ("entry", "parsed"),
    [
        ("user:alice:rwx", (False, "u", "alice", 7)),
        ("user:alice:7", (False, "u", "alice", 7)),
        ("group:vip:r-x", (False, "g", "vip", 5)),
        ("mask::r--", (False, "m", "", 4)),
        ("default:user::rwx", (True, "u", "", 7)),
        ("default:group::---", (True, "g", "", 0)),
        ("default:other::--x", (True, "o", "", 1)),
        ("default:mask::2", (True, "m", "", 2)),
        ("default:user:bob:-w-", (True, "u", "bob", 2)),
    ],
)
def test_entries(entry: str, parsed: tuple[bool, str, str, int]) -> None:
    assert parse([entry]) == [parsed]


@pytest.mark.parametrize(
    "entry",
    ["", "alice:rwx", "user:alice", "user:alice:", "user:alice:rwxx", "user:alice:wrx", "user:alice:8", "usr:alice:rwx", "user::rwx",
     "group::r-x", "other::r--", "mask:alice:r--", "default:other:bob:r--", "Default:user::rwx", "user:a:b:rwx", " user:a:rwx", "user:\x1b[31m:rwx "],
)  # fmt: skip
def test_what_is_no_entry_is_refused_by_its_name(entry: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse([entry])
    assert caught.value.message.isprintable()
    assert entry in caught.value.message or not entry.isprintable()


@pytest.mark.parametrize(
    ("entries", "mode", "masked", "expected"),
    [
        (["user:a:r--", "group:b:-w-"], 0o700, (), ["group:b:-w-", "mask::rw-", "user:a:r--"]),
        (["user:a:r--"], 0o751, (), ["mask::r-x", "user:a:r--"]),
        (["user:a:rwx", "mask::r--"], 0o777, (False,), ["mask::r--", "user:a:rwx"]),
        (["user:a:rwx", "mask::r--"], 0o700, (), ["mask::rwx", "user:a:rwx"]),
        (["mask::r--"], 0o777, (False,), []),
        (["default:user::rwx"], 0o750, (), ["default:group::r-x", "default:other::---", "default:user::rwx"]),
        (["default:user:a:--x", "default:group::r--"], 0o700, (), [
            "default:group::r--", "default:mask::r-x", "default:other::---", "default:user::rwx", "default:user:a:--x",
        ]),
        (["default:mask::r--"], 0o777, (), []),
        (["default:other::r--", "default:mask::r--"], 0o770, (True,), [
            "default:group::rwx", "default:mask::r--", "default:other::r--", "default:user::rwx",
        ]),
        (["default:other::r--", "default:mask::r--"], 0o770, (), [
            "default:group::rwx", "default:mask::rwx", "default:other::r--", "default:user::rwx",
        ]),
    ],
)  # fmt: skip
def test_what_setfacl_adds_by_itself(
    entries: list[str], mode: int, masked: tuple[bool, ...], expected: list[str]
) -> None:
    built = build(parse(entries), {("u", "a"): 1, ("g", "b"): 2})
    assert shown(complete(built, mode, masked), {1: "a", 2: "b"}) == expected


@settings(max_examples=300)
@example({("u", 0): 7, ("g", 0): 7, ("o", 0): 0, ("m", 0): 5}, 0o777, True, 3, {2})
@given(default_entries(), st.integers(0, 0o777), st.booleans(), st.integers(1, 6), st.sets(st.integers(1, 6)))
def test_a_child_has_what_posix_gives_it(
    default: dict[tuple[str, int], int], mode: int, directory: bool, user: int, groups: set[int]
) -> None:
    """The default becomes the access ACL; its owner, mask (or group) and other entries are cut down to the mode asked for."""
    made, acl = inherit(Acl({}, default), mode, directory=directory)
    assert acl.default == (default if directory else {})
    full = dict(default)
    full["u", 0] &= mode >> 6
    full["o", 0] &= mode
    cut = ("m", 0) if ("m", 0) in full else ("g", 0)
    full[cut] &= mode >> 3 & 7
    oracle_mode = full["u", 0] << 6 | full["g", 0] << 3 | full["o", 0]
    oracle = Acl({k: p for k, p in full.items() if k[1] or k[0] == "m"}, {})
    for wanted in (4, 2, 1):
        found = bits(made, 1, 2, acl, user, groups) & wanted
        assert bool(found) == granted(oracle_mode, 1, 2, oracle, user, groups, wanted)


def test_without_a_default_the_mode_is_the_mode() -> None:
    assert inherit(Acl({("u", 1): 7, ("m", 0): 7}, {}), 0o1751, directory=True) == (0o1751, EMPTY)
