"""What the scopes of a token leave of a principal's powers."""

from __future__ import annotations

import pytest

from lading.model.principal import Principal


def principal(*scopes: str, admin: bool = False, vos: frozenset[str] = frozenset()) -> Principal:
    pairs = tuple((s.partition(":")[0], s.partition(":")[2] or "/") for s in scopes)
    return Principal(7, "alice", (3, 4), admin, vos, pairs)


@pytest.mark.parametrize(
    ("scopes", "narrowed"),
    [
        (("read", "write"), False),
        (("read", "write", "admin"), False),
        (("read",), True),
        (("write",), True),
        (("admin",), True),
        (("read", "write:/vo"), True),
        (("read:/vo", "write:/vo"), True),
        ((), True),
    ],
)
def test_narrowed(scopes: tuple[str, ...], narrowed: bool) -> None:
    assert principal(*scopes).narrowed is narrowed


@pytest.mark.parametrize(
    ("scopes", "superuser"),
    [
        (("read", "write", "admin"), True),
        (("read", "write"), False),
        (("read", "admin"), False),
        (("read", "write", "admin:/vo"), False),
        (("read:/vo", "write:/vo", "admin"), False),
    ],
)
def test_only_an_administrator_with_every_unlimited_scope_is_a_superuser(
    scopes: tuple[str, ...], superuser: bool
) -> None:
    assert principal(*scopes, admin=True).superuser is superuser
    assert principal(*scopes).superuser is False


def test_administrators_of_a_vo_govern_what_lies_in_it() -> None:
    who = principal("read", "write", "admin", vos=frozenset({"biomed"}))
    assert who.governs("/biomed")
    assert who.governs("/biomed/a/b")
    assert not who.governs("/")
    assert not who.governs("/biomed2")
    assert not who.governs("/atlas/biomed")


def test_governing_needs_the_admin_scope() -> None:
    vos = frozenset({"biomed"})
    assert not principal("read", "write", vos=vos).governs("/biomed/a")
    narrow = principal("read", "write", "admin:/biomed/a", vos=vos)
    assert narrow.governs("/biomed/a/b")
    assert not narrow.governs("/biomed/b")
    assert not principal("read", "write", admin=True).governs("/biomed")
    assert principal("read", "write", "admin:/atlas", admin=True).governs("/atlas/x")


def test_the_primary_group_is_the_first() -> None:
    assert principal().group == 3
    assert Principal(1, "x").group == 0
