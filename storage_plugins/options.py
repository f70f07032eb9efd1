"""Options of a storage type: a msgspec struct, told to people and read from the strings of a command line."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct

from .errors import InvalidOptions
from .powers import POWERS

if TYPE_CHECKING:
    from collections.abc import Mapping


class CommonOptions(Struct, kw_only=True, forbid_unknown_fields=True):
    """What every type takes. A plug-in's options subclass this with `kw_only=True, forbid_unknown_fields=True`.

    Say what an option is for in `Annotated[..., Meta(description=...)]`; a secret also has `extra={"secret": True}`.
    """

    disabled_powers: Annotated[list[str], Meta(description="powers not to use, e.g. Renames,ServerCopies")] = []

    def __post_init__(self) -> None:
        for power in self.disabled_powers:
            if power not in POWERS:
                raise ValueError(f"{power!r} is no power: {', '.join(POWERS)}")


class OptionInfo(Struct, frozen=True, omit_defaults=True):
    name: str
    type: str
    description: str = ""
    default: Any = None
    required: bool = False
    secret: bool = False


C = TypeVar("C", bound=CommonOptions)


def options_of(config: type[CommonOptions]) -> list[OptionInfo]:
    """The options of a config struct, in its order."""
    found = []
    for field in msgspec.structs.fields(config):
        hint = msgspec.inspect.type_info(field.type)
        meta = hint if isinstance(hint, msgspec.inspect.Metadata) else None
        default: Any = field.default
        if field.default_factory is not msgspec.NODEFAULT:
            default = field.default_factory()
        found.append(
            OptionInfo(
                name=field.encode_name,
                type=_type_name(meta.type if meta else hint),
                description=((meta.extra_json_schema or {}).get("description", "") if meta else ""),
                default=None if default is msgspec.NODEFAULT else default,
                required=field.required,
                secret=bool(meta and (meta.extra or {}).get("secret")),
            )
        )
    return found


def read_options(type: str, config: type[C], options: Mapping[str, Any]) -> C:
    """`options` as a `config`: "8" does for a number, "a,b" for a list. InvalidOptions names the option, never a
    value."""
    known = {option.name: option for option in options_of(config)}
    for name in options:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f" (did you mean {close[0]!r}?)" if close else f"; it has {', '.join(known)}"
            raise InvalidOptions(f"storage type {type!r} has no option {name!r}{hint}")
    for option in known.values():
        if option.required and options.get(option.name) is None:
            about = f": {option.description}" if option.description else ""
            raise InvalidOptions(f"storage type {type!r} needs the option {option.name!r}{about}")
    given = {
        name: [item.strip() for item in value.split(",") if item.strip()]
        if isinstance(value, str) and known[name].type.startswith("list")
        else value
        for name, value in options.items()
    }
    try:
        return msgspec.convert(given, config, strict=False)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$.")
        option_name = where.rstrip("`").partition("[")[0]
        about = f"option {option_name!r} of " if option_name else ""
        raise InvalidOptions(f"{about}storage type {type!r}: {what}") from None


def _type_name(hint: msgspec.inspect.Type) -> str:
    if isinstance(hint, msgspec.inspect.Metadata):
        return _type_name(hint.type)
    if isinstance(hint, msgspec.inspect.UnionType):
        return " or ".join(_type_name(t) for t in hint.types if not isinstance(t, msgspec.inspect.NoneType))
    if isinstance(hint, msgspec.inspect.LiteralType):
        return " or ".join(str(value) for value in hint.values)
    if isinstance(hint, msgspec.inspect.ListType):
        return f"list of {_type_name(hint.item_type)}"
    return type(hint).__name__.removesuffix("Type").lower()
