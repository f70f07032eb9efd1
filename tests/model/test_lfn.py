"""LFNs: what is one, what is none and why, and how they are taken apart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.model import lfn
from lading.model.errors import InvalidRequest

COMPONENTS = st.text(
    st.characters(exclude_characters="/", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=90
).filter(lambda c: c not in (".", "..") and len(c.encode()) <= lfn.MAX_COMPONENT)
PATHS = st.lists(COMPONENTS, min_size=1, max_size=6).map(lambda parts: "/" + "/".join(parts))


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("/", "/"),
        ("/biomed", "/biomed"),
        ("/biomed/", "/biomed"),
        ("/biomed/user/a/alice/scan.nii", "/biomed/user/a/alice/scan.nii"),
        ("/vo/.hidden", "/vo/.hidden"),
        ("/vo/...", "/vo/..."),
        ("/vo/..a/b.", "/vo/..a/b."),
        ("/vo/a b'c\"d;--%20\\", "/vo/a b'c\"d;--%20\\"),
        ("/vo/é日本\U0001f4e6", "/vo/é日本\U0001f4e6"),
        ("/" + "x" * 255, "/" + "x" * 255),
        ("/" + "é" * 127, "/" + "é" * 127),
        ("/a" * 1024, "/a" * 1024),
        ("/" + "y" * 255 + "/z" * 384, "/" + "y" * 255 + "/z" * 384),
    ],
)
def test_these_are_lfns(text: str, stored: str) -> None:
    assert lfn.parse(text) == stored


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "must be absolute"),
        ("vo/a", "must be absolute"),
        ("lfn:/vo/a", "must be absolute"),
        ("//", "empty component"),
        ("/vo//a", "empty component"),
        ("/vo/a//", "empty component"),
        ("/.", "'.' is not allowed"),
        ("/..", "'..' is not allowed"),
        ("/vo/./a", "'.' is not allowed"),
        ("/vo/../etc/passwd", "'..' is not allowed"),
        ("/vo/a/..", "'..' is not allowed"),
        ("/vo/a\0b", "control characters"),
        ("/vo/a\nb", "control characters"),
        ("/vo/a\n", "control characters"),
        ("/vo/\x1b[31mred", "control characters"),
        ("/vo/\x7f", "control characters"),
        ("/vo/\x85", "control characters"),
        ("/vo/\ud800", "not valid UTF-8"),
        ("/" + "x" * 256, "component is 256 bytes long, at most 255"),
        ("/" + "é" * 128, "component is 256 bytes long, at most 255"),
        ("/" + "日" * 86, "component is 258 bytes long, at most 255"),
        ("/a" * 1024 + "/", None),
        ("/a" * 1025, "2050 bytes long, at most 2048"),
        ("/é" * 700, "2100 bytes long, at most 2048"),
    ],
)
def test_these_are_none_and_the_error_says_why(text: str, reason: str | None) -> None:
    if reason is None:
        lfn.parse(text)
        return
    with pytest.raises(InvalidRequest) as caught:
        lfn.parse(text)
    assert reason in caught.value.message
    assert caught.value.message.isprintable()
    assert "lfn" in caught.value.details
    assert len(caught.value.message) < 400


@given(PATHS)
def test_a_path_of_good_components_is_an_lfn_in_its_stored_form(path: str) -> None:
    if len(path.encode()) > lfn.MAX_PATH:
        with pytest.raises(InvalidRequest):
            lfn.parse(path)
        return
    assert lfn.parse(path) == path
    assert lfn.parse(path + "/") == path
    parent, name = lfn.split(path)
    assert lfn.join(parent, name) == path
    assert lfn.component(name) == name
    assert lfn.parents(path)[0] == "/"
    assert lfn.parents(path)[-1] == parent
    assert [lfn.split(p)[0] for p in (*lfn.parents(path)[1:], path)] == lfn.parents(path)
    assert all(lfn.is_within(path, p) for p in (*lfn.parents(path), path))
    assert lfn.vo(path) == path.split("/")[1]


@given(st.text(max_size=600))
def test_any_text_is_an_lfn_or_is_refused_in_printable_words(text: str) -> None:
    try:
        path = lfn.parse(text)
    except InvalidRequest as refused:
        error = refused
    else:
        assert path in (text, text[:-1])
        assert lfn.parse(path) == path
        assert not set(path.split("/")[1:]) & ({".", ".."} if path == "/" else {"", ".", ".."})
        assert path.encode().decode() == path
        return
    assert error.message.isprintable()


@given(st.text(st.characters(), max_size=300), st.integers(1, 250))
def test_what_is_shown_is_printable_and_short(text: str, limit: int) -> None:
    shown = lfn.shown(text, limit)
    assert shown.isprintable()
    assert len(text) <= limit or len(shown) <= limit + 1


def test_the_root() -> None:
    assert lfn.split("/") == ("", "")
    assert lfn.split("/a") == ("/", "a")
    assert lfn.join("/", "a") == "/a"
    assert lfn.parents("/a") == ["/"]
    assert lfn.parents("/a/b/c") == ["/", "/a", "/a/b"]
    assert lfn.vo("/") == ""


def test_within_means_whole_components() -> None:
    assert lfn.is_within("/vo/ab", "/vo/ab")
    assert lfn.is_within("/vo/ab/c", "/vo/ab")
    assert lfn.is_within("/anything", "/")
    assert not lfn.is_within("/vo/abc", "/vo/ab")
    assert not lfn.is_within("/vo", "/vo/ab")


@pytest.mark.parametrize("name", ["a/b", "/", "..", ".", "a\0", "x" * 256])
def test_a_name_is_one_component(name: str) -> None:
    with pytest.raises(InvalidRequest):
        lfn.component(name)
