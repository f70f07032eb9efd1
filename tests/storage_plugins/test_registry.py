"""Types of storage: what is told of them, options checked, third parties' plug-ins that work, lack things or are broken."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from storage_plugins import registry
from storage_plugins.errors import InvalidOptions, PluginMissing
from storage_plugins.memory import MemoryElement
from storage_plugins.posix import PosixOptions

if TYPE_CHECKING:
    from pathlib import Path

THIRD_PARTY = """
from typing import Annotated
from msgspec import Meta
from storage_plugins.memory import MemoryElement, MemoryOptions
from storage_plugins.options import CommonOptions
from storage_plugins.registry import Plugin

class Options(CommonOptions, kw_only=True, forbid_unknown_fields=True):
    host: Annotated[str, Meta(description="where")]
    token: Annotated[str | None, Meta(description="lets us in", extra={"secret": True})] = None
    ports: list[int] = []
    ratio: float = 0.5

class Element(MemoryElement):
    type = "acme"
    def __init__(self, options, *, name=""):
        super().__init__(MemoryOptions(store=options.host), name=name)

PLUGIN = Plugin("acme", "a third party's", Options, "acme_storage:Element")
LACKING = Plugin("lacking", "lacks its SDK", Options, "acme_storage:Element", requires=("no_such_sdk",), extra="lacking")
WRONG = Plugin("wrong", "its SDK does not load", Options, "no_such_module_at_all:Element")
NOT_ONE = "a string"
class Unreadable(CommonOptions, kw_only=True):
    field: Annotated[dict[int, object] | int | list[str] | set[str], Meta(pattern="x")] = 1
UNREADABLE = Plugin("unreadable", "its options make no sense", Unreadable, "x:y")
"""
ENTRIES = """[lading.storage_plugins]
acme = acme_storage:PLUGIN
lacking = acme_storage:LACKING
wrong = acme_storage:WRONG
not-one = acme_storage:NOT_ONE
unreadable = acme_storage:UNREADABLE
raising = acme_raising:PLUGIN
absent = acme_storage:NOTHING
"""


@pytest.fixture
def third_party(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A distribution installed while we run."""
    (tmp_path / "acme_storage.py").write_text(THIRD_PARTY)
    (tmp_path / "acme_raising.py").write_text("raise SystemError('broken at import')")
    info = tmp_path / "acme_storage-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-storage\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRIES)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "acme_storage", raising=False)


def test_types_tell_their_options() -> None:
    types = {info.name: info for info in registry.types()}
    assert {"posix", "memory"} <= set(types)
    posix = types["posix"]
    assert posix.missing is None
    assert posix.summary
    options = {option.name: option for option in posix.options}
    assert (options["path"].type, options["path"].required, options["path"].secret) == ("str", True, False)
    assert (options["fsync"].type, options["fsync"].default) == ("bool", True)
    assert options["disabled_powers"].type == "list of str"
    assert options["mode"].type == "str"
    assert all(option.description for info in (posix, types["memory"]) for option in info.options)


def test_options_as_the_command_line_has_them() -> None:
    options = registry.validate(
        "posix",
        {"path": "/x", "fsync": "false", "threads": "3", "mode": "0640", "disabled_powers": "Renames, Checksums,"},
    )
    assert options == PosixOptions(
        path="/x", fsync=False, threads=3, mode="0640", disabled_powers=["Renames", "Checksums"]
    )


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, "needs the option 'path': the root folder, absolute"),
        ({"path": None}, "needs the option 'path'"),
        ({"path": "/x", "tread": 1}, "has no option 'tread' (did you mean 'threads'?)"),
        ({"path": "/x", "zzz": 1}, "has no option 'zzz'; it has disabled_powers, path"),
        ({"path": "relative"}, "option 'path' of storage type 'posix'"),
        ({"path": "/x", "threads": "many"}, "option 'threads' of storage type 'posix': Expected `int`"),
        ({"path": "/x", "threads": 0}, "option 'threads' of storage type 'posix': Expected `int` >= 1"),
        ({"path": "/x", "mode": "9"}, "option 'mode' of"),
        ({"path": "/x", "fsync": "maybe"}, "option 'fsync' of"),
        ({"path": "/x", "disabled_powers": "Flies"}, "'Flies' is no power"),
        ({"path": "/x", "disabled_powers": [1]}, "option 'disabled_powers' of"),
    ],
)
def test_wrong_options(options: dict[str, object], told: str) -> None:
    with pytest.raises(InvalidOptions) as raised:
        registry.open("posix", options)
    assert told in raised.value.message


def test_unknown_type() -> None:
    with pytest.raises(InvalidOptions, match=r"no storage type 'posx' \(did you mean 'posix'\?\); installed: "):
        registry.open("posx", {})


@pytest.mark.usefixtures("third_party")
async def test_a_third_party_s_plug_in() -> None:
    element = registry.open("acme", {"host": "h", "ports": "1,2"}, name="one")
    assert isinstance(element, MemoryElement)
    assert element.name == "one"
    assert (await element.probe()).ok
    [info] = [info for info in registry.types() if info.name == "acme"]
    assert {o.name: (o.type, o.secret) for o in info.options}["token"] == ("str", True)
    with pytest.raises(InvalidOptions) as raised:
        registry.open("acme", {"host": "h", "token": ["hunter2"]})
    assert "'token'" in raised.value.message
    assert "hunter2" not in raised.value.message


@pytest.mark.usefixtures("third_party")
def test_broken_plug_ins_hurt_nobody_else() -> None:
    types = {info.name: info for info in registry.types()}
    assert types["posix"].missing is None
    assert types["acme"].missing is None
    assert types["lacking"].missing == "storage type 'lacking' needs the extra: pip install 'lading[lacking]'"
    assert types["lacking"].options, "its options can be shown all the same"
    for name in ("not-one", "raising", "absent", "unreadable"):
        assert "does not load" in (types[name].missing or "")
        with pytest.raises(PluginMissing, match=name):
            registry.open(name, {})
    with pytest.raises(PluginMissing, match="needs the extra"):
        registry.open("lacking", {"host": "h"})
    with pytest.raises(PluginMissing, match="cannot be loaded"):
        registry.open("wrong", {"host": "h"})
    assert registry.open("acme", {"host": "h"}).type == "acme"
