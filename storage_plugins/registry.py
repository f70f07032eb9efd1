"""Which types of storage there are, and elements made from their options.

A plug-in is a `Plugin` value named by an entry point in the group `lading.storage_plugins`. Looking one up reads what
is installed at that moment: a plug-in installed while the server runs is found. One that fails to load hurts nobody
else.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import logging
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, Protocol, cast

import msgspec

from .errors import InvalidOptions, PluginMissing
from .options import CommonOptions, OptionInfo, options_of, read_options

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .base import Element

GROUP = "lading.storage_plugins"
_log = logging.getLogger(__name__)


class Plugin(msgspec.Struct, frozen=True):
    """One type of storage. Light to import: the SDK is loaded by `factory` alone.

    name      the type, as in `lading se add NAME TYPE`; equal to the entry point's name
    summary   one line
    config    the options: a subclass of `options.CommonOptions`
    factory   "module:Class", called as Class(config, name=element's name)
    requires  import names of the SDK
    extra     what brings them: pip install 'lading[extra]'
    docs      URL or path of its page
    """

    name: str
    summary: str
    config: type[CommonOptions]
    factory: str
    requires: tuple[str, ...] = ()
    extra: str | None = None
    docs: str = ""


class PluginInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """A type as shown to an operator. `missing` says what to do before it can be used."""

    name: str
    summary: str = ""
    options: list[OptionInfo] = []
    missing: str | None = None
    docs: str = ""


class _Factory(Protocol):
    def __call__(self, config: CommonOptions, *, name: str) -> Element: ...


def types() -> list[PluginInfo]:
    """Every installed plug-in by name, broken ones included (with `missing`)."""
    found: dict[str, PluginInfo] = {}
    for entry in sorted(entry_points(group=GROUP), key=lambda e: e.name):
        try:
            plugin = _load(entry)
            info = PluginInfo(plugin.name, plugin.summary, options_of(plugin.config), _missing(plugin), plugin.docs)
        except PluginMissing as error:
            info = PluginInfo(entry.name, missing=error.message)
        found.setdefault(entry.name, info)
    return list(found.values())


def validate(type: str, options: Mapping[str, Any]) -> CommonOptions:
    """The options as the plug-in's own struct. Values may be strings, as the command line has them.

    Raises InvalidOptions naming the option and what is wrong with it, never its value; PluginMissing.
    """
    return read_options(type, find(type).config, options)


def open(type: str, options: Mapping[str, Any], *, name: str = "") -> Element:
    """An element, ready to use; it connects with its first operation. Close it with `aclose`. Errors as `validate`."""
    plugin = find(type)
    config = read_options(type, plugin.config, options)
    if missing := _missing(plugin):
        raise PluginMissing(missing)
    module, _, attribute = plugin.factory.partition(":")
    try:
        factory = cast("_Factory", getattr(importlib.import_module(module), attribute))
    except Exception as error:  # a broken SDK raises anything at all
        raise PluginMissing(f"storage type {type!r} cannot be loaded: {error!r}") from error
    element = factory(config, name=name)
    element.disabled_powers |= frozenset(config.disabled_powers)
    return element


def find(type: str) -> Plugin:
    """The plug-in of this type. Raises InvalidOptions for an unknown type, PluginMissing for one that does not load."""
    entries = list(entry_points(group=GROUP, name=type))
    if not entries:
        names = sorted({e.name for e in entry_points(group=GROUP)})
        raise InvalidOptions(
            f"there is no storage type {type!r}{did_you_mean(type, names)}; installed: {', '.join(names)}"
        )
    return _load(entries[0])


def did_you_mean(word: str, names: list[str]) -> str:
    close = difflib.get_close_matches(word, names, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _load(entry: EntryPoint) -> Plugin:
    importlib.invalidate_caches()  # it may have been installed a moment ago
    try:
        plugin = entry.load()
        if not isinstance(plugin, Plugin):
            raise TypeError(f"{entry.value} is not a storage_plugins.registry.Plugin")
        options_of(plugin.config)
    except Exception as error:  # somebody else's code: it may raise anything
        _log.warning("storage plug-in %s does not load: %r", entry.name, error)
        raise PluginMissing(f"storage type {entry.name!r} is installed and does not load: {error!r}") from error
    return plugin


def _missing(plugin: Plugin) -> str | None:
    if all(importlib.util.find_spec(module) for module in plugin.requires):
        return None
    remedy = f"pip install 'lading[{plugin.extra}]'" if plugin.extra else f"pip install {' '.join(plugin.requires)}"
    return f"storage type {plugin.name!r} needs the extra: {remedy}"
