"""The generated part of the documentation: `python -m docs.generate` writes docs/reference/*.md from the code.

Every page is a function without input that returns Markdown; tests/docs holds the committed files against them.
"""

from __future__ import annotations

import re
from importlib.metadata import entry_points
from inspect import cleandoc
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from typer.main import get_command

import doors.main
import lading.cli.main
from doors.app import rest_routes
from doors.config import PREFIX, Config
from doors.http import health, openapi, problems
from doors.http.metrics import Metrics
from lading.model import errors
from migrations.legacy import anomalies
from storage_plugins import errors as storage_errors
from storage_plugins.options import options_of
from storage_plugins.powers import POWERS
from storage_plugins.registry import GROUP, find
from transfer.uploads import storage_fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

FOLDER = Path(__file__).parent / "reference"
_MADE = "<!-- Made from the code by `make docs`: change the code, not this file. -->"


# ── Markdown ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _cell(text: object) -> str:
    return " ".join(str(text).split()).replace("|", "\\|")


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(c) for c in line) + " |" for line in lines)


def _page(title: str, *parts: str) -> str:
    return "\n\n".join([f"# {title}", _MADE, *(p for p in parts if p)]) + "\n"


def _code(value: object) -> str:
    return f"`{value}`" if value not in (None, "") else ""


# ── command lines ───────────────────────────────────────────────────────────────────────────────────────────────────


def cli() -> str:
    """`lading` and `lading-server`: every command with its arguments and options."""
    parts = ["Each command explains itself too: `lading COMMAND --help`."]
    for name, app in (("lading", lading.cli.main.app), ("lading-server", doors.main.app)):
        parts += _command(name, get_command(app), 2)
    return _page("Command line", *parts)


def _command(name: str, command: Any, level: int) -> Iterator[str]:
    yield f"{'#' * level} {name}"
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    words = [_argument(a) for a in arguments]
    children = getattr(command, "commands", {})
    yield "```text\n" + " ".join([name, "[OPTIONS]", *words, *(["COMMAND"] if children else [])]) + "\n```"
    yield cleandoc(command.help or "")
    if any(a.help for a in arguments):
        yield _table(["argument", ""], ((f"`{_argument(a)}`", a.help or "") for a in arguments))
    options = [p for p in command.params if p.param_type_name == "option" and not p.hidden]
    options = [p for p in options if p.name not in ("install_completion", "show_completion")]
    if options:
        yield _table(["option", "", "default"], map(_option, options))
    for child, sub in children.items():
        yield from _command(f"{name} {child}", sub, min(level + 1, 4))
    yield cleandoc(command.epilog or "")


def _argument(parameter: Any) -> str:
    word = parameter.metavar or parameter.name.upper()
    word += "..." if parameter.nargs == -1 else ""
    return word if parameter.required else f"[{word}]"


def _option(parameter: Any) -> tuple[str, str, str]:
    names = ", ".join(f"`{n}`" for n in (*parameter.opts, *parameter.secondary_opts))
    value = "" if parameter.is_flag else f" {parameter.metavar or parameter.name.upper()}"
    about = (parameter.help or "").replace("  [default:", " [default:")
    if parameter.envvar:
        about += f" Environment: `{parameter.envvar}`."
    default = parameter.default
    return names + value, about, "" if default in (None, False, (), []) else _code(default)


# ── REST ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def rest() -> str:
    """The routes and the structs of their bodies and answers, from the OpenAPI document."""
    config = Config()
    table = [*health.routes(Metrics(dict, dict, dict)), *rest_routes()]
    table += openapi.routes(table, config)
    document = openapi.document(table, config)
    who = {(r.method.lower(), re.sub(r"\{(\w+):[^{}]*\}", r"{\1}", r.path)): r.permission for r in table}
    parts = [document["info"]["description"], _WHO]
    for tag in (t["name"] for t in document["tags"]):
        parts.append(f"## {tag}")
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                if tag in operation.get("tags", []) and method != "head":
                    parts += _operation(method, path, operation, who[method, path])
    parts.append("## Structs")
    for name, schema in sorted(document["components"]["schemas"].items()):
        parts += _struct(name, schema)
    return _page("REST interface", *parts)


_WHO = (
    "This page is made from the OpenAPI 3.1 document that every server gives at `/v1/openapi.json`; `/docs` shows it. "
    "Each route says whom it is for: `open` needs no token, `user` needs one, `admin` needs an administrator's with the "
    "scope `admin`. Every `GET` answers `HEAD` too."
)


def _operation(method: str, path: str, operation: dict[str, Any], permission: str) -> Iterator[str]:
    yield f"### {method.upper()} {path}"
    yield f"{operation['summary'].rstrip('?')}. For: `{permission}`."
    if operation["description"] != operation["summary"]:
        yield cleandoc(operation["description"])
    parameters = [p for p in operation["parameters"] if p["in"] != "header"]
    if parameters:
        rows = ((f"`{p['name']}`", p["in"], _type(p["schema"]), p.get("description", "")) for p in parameters)
        yield _table(["parameter", "in", "type", ""], rows)
    facts = []
    if body := operation.get("requestBody"):
        facts.append(f"- body: {_content(body['content'])}")
    good = {s: r for s, r in operation["responses"].items() if s.startswith("2") and r.get("content")}
    facts += [f"- {status}: {_content(r['content'])}" for status, r in good.items()]
    yield "\n".join(facts)


def _content(content: dict[str, Any]) -> str:
    return " or ".join(_type(c["schema"]) if kind == "application/json" else f"`{kind}`" for kind, c in content.items())


def _type(schema: dict[str, Any]) -> str:
    if ref := schema.get("$ref"):
        name = ref.rsplit("/", 1)[1]
        return f"[{name}](#{re.sub(r'[^a-z0-9_-]', '', name.lower())})"
    if options := schema.get("anyOf"):
        return " or ".join(_type(o) for o in options)
    if values := schema.get("enum"):
        return " or ".join(f"`{v}`" for v in values)
    kind = schema.get("type", "any")
    if kind == "array":
        return f"list of {_type(schema.get('items') or {})}"
    if kind == "object" and isinstance(inner := schema.get("additionalProperties"), dict):
        return f"map of string to {_type(inner)}"
    return schema.get("format") or str(kind)


def _struct(name: str, schema: dict[str, Any]) -> Iterator[str]:
    yield f"### {name}"
    if about := schema.get("description"):
        yield cleandoc(about)
    properties = schema.get("properties", {})
    if not properties:
        yield f"One of: {_type(schema)}."
        return
    needed = schema.get("required", [])
    rows = (
        (f"`{n}`", _type(p), "required" if n in needed else _code(_default(p)), p.get("description", ""))
        for n, p in properties.items()
    )
    yield _table(["field", "type", "default", ""], rows)


def _default(schema: dict[str, Any]) -> str:
    return msgspec.json.encode(schema["default"]).decode() if "default" in schema else ""


# ── settings, storage types ─────────────────────────────────────────────────────────────────────────────────────────


def settings() -> str:
    """The server's settings, and the environment of server and client."""
    rows = []
    properties = msgspec.json.schema(Config)["$defs"]["Config"]["properties"]
    for name, schema in properties.items():
        values = (f"`{name}`", f"`{PREFIX}{name.upper()}`", _type(schema), _code(_default(schema)))
        rows.append((*values, schema.get("description", "")))
    return _page(
        "Settings",
        "Settings of `lading-server`. A later source wins: defaults, the TOML file of `--config`, the environment, the "
        "options of the command. In the file a setting stands as `port = 8321`. A list in the environment is separated "
        "by commas. An unknown setting is refused.",
        _table(["in the file", "environment", "type", "default", ""], rows),
        "## Other variables",
        _table(["variable", "of", ""], _VARIABLES),
    )


_VARIABLES = (
    ("`LADING_SECRET_KEY_FILE`", "server", "File with the key that encrypts the secrets of elements: 64 hex digits."),
    ("`LADING_SECRET_KEY`", "server", "The key itself. It wins over the file."),
    (
        "`LADING_GFAL_PYTHON`",
        "server",
        "The Python that has gfal2, for the storage type `gfal`; `/usr/bin/python3` without.",
    ),
    ("`LADING_URL`", "client", "The server. It wins over the credentials file."),
    ("`LADING_TOKEN`", "client", "The token. It wins over the credentials file."),
    ("`LADING_SERVER`", "client", "The name of one of the servers in the credentials file, as `lading --server`."),
    ("`LADING_SITE`", "client", "Where you read: elements of this site come first."),
    ("`LADING_CACHE`", "client", "The folder that the jobs of a node share: `lading fetch --cache`."),
    ("`LADING_CACHE_SIZE`", "client", "Its limit: `lading fetch --cache-size`."),
    (
        "`XDG_CONFIG_HOME`",
        "client",
        "The credentials file is `lading/credentials.toml` below it, or below `~/.config`.",
    ),
)


def storage_types() -> str:
    """The types of storage that come with lading, their options, and the powers that can be switched off."""
    names = sorted(e.name for e in entry_points(group=GROUP) if e.dist and e.dist.name == "lading")
    parts = ["Options of `lading se add NAME TYPE --option KEY=VALUE`. `lading se types` shows those of your server."]
    for plugin in map(find, names):
        options = options_of(plugin.config)
        rows = [
            (f"`{o.name}`", o.type, "required" if o.required else _code(msgspec.json.encode(o.default).decode()),
             o.description + (" (secret)" if o.secret else ""))
            for o in options
        ]  # fmt: skip
        extra = f"Needs `pip install 'lading[{plugin.extra}]'`." if plugin.extra else ""
        parts += [f"## {plugin.name}", plugin.summary[:1].upper() + plugin.summary[1:] + ".", extra]
        parts.append(_table(["option", "type", "default", ""], rows))
    powers = ((f"`{n}`", cleandoc(p.__doc__ or "").split("\n\n")[0]) for n, p in POWERS.items())
    parts += ["## Powers", "What an element may be able to do beside the required methods. `disabled_powers` names those "
              "not to use; lading then does without.", _table(["power", ""], powers)]  # fmt: skip
    return _page("Storage types", *parts)


# ── errors, import codes ────────────────────────────────────────────────────────────────────────────────────────────


def error_codes() -> str:
    """Both trees of errors with HTTP status and exit code."""
    told = _meanings(errors.__doc__ or "", r"(\d+)\s+(\d+)\s+(.*)")
    rows = [
        (f"`{c.code}`", problems.STATUS[c], c.exit_code, "yes" if c.retryable else "", f"`{c.__name__}`", told[c.__name__])
        for c in errors.BY_CODE.values()
    ]  # fmt: skip
    meanings = _meanings(storage_errors.__doc__ or "", r"(.*)")
    storage = []
    for name, meaning in meanings.items():
        ours = storage_fault(getattr(storage_errors, name)("x"), "x")
        kind = getattr(storage_errors, name)
        answer = f"{problems.STATUS[type(ours)]} `{ours.code}`"
        storage.append(
            (f"`{kind.code}`", answer, ours.exit_code, "yes" if kind.retryable else "", f"`{name}`", meaning)
        )
    return _page(
        "Errors and exit codes",
        "A call that fails answers with a problem document (RFC 9457, `application/problem+json`): `code` is for programs, "
        "`detail` says what is wrong and what to do, `details` names the item, `request_id` finds it in the server's log. "
        "In a bulk call every item has its own outcome with the same `code`, `message`, `retryable` and `details`.",
        _table(["code", "HTTP", "exit", "retryable", "exception", "meaning"], rows),
        "Anything else is a 500 with the code `internal` and the request id: a fault of lading.",
        "## Exit codes",
        f"`lading`: {_between(lading.cli.main.app.info.epilog, 'Exit codes: ', '. ')}.",
        f"`lading-server`: {_between(doors.main.app.info.epilog, 'Exit codes: ', None)}.",
        "When some items of many failed the code is 1, and of one item it is the code of its error. 130: interrupted.",
        "## Storage errors",
        "What a storage element can say, and what the caller of a put or get is told. The name of the element is told, its "
        "paths and credentials never.",
        _table(["code", "told as", "exit", "retryable", "exception", "meaning"], storage),
    )


def _between(text: str | None, start: str, end: str | None) -> str:
    """What stands in `text` after `start` and before `end` (or to its end)."""
    found = (text or "").partition(start)[2]
    return found.partition(end)[0] if end else found


def _meanings(text: str, rest: str) -> dict[str, str]:
    """Class to its words in the tree at the top of a module."""
    lines = re.findall(rf"^\s+(?:│\s+)?[├└]─ (\w+)\s+\w+\s+{rest}$", text, re.M)
    return {line[0]: line[-1] for line in lines}


def import_codes() -> str:
    """The kinds of damage the import knows, with what is done."""
    parts = [
        "What can be wrong with a row of a foreign catalogue. `--policy CODE=ACTION` chooses another action than the "
        "default, which comes first.",
        "- `import`: as it is\n- `fix`: put right; the original is kept beside it\n- `placeholder`: somebody or something "
        "unknown gets a placeholder\n- `skip`: left out, and counted\n- `quarantine`: left out; the row is kept whole in "
        "the table `import_issue`\n- `fail`: write nothing at all",
    ]  # fmt: skip
    for kind in dict.fromkeys(a.kind for a in anomalies.ALL.values()):
        found = [a for a in anomalies.ALL.values() if a.kind == kind]
        parts.append(f"## {kind.capitalize()}")
        rows = ((f"`{a.code}`", ", ".join([f"**{a.default}**", *a.allowed[1:]]), a.what) for a in found)
        parts.append(_table(["code", "actions", "what it is, and what `fix` does"], rows))
    return _page("Import codes", *parts)


PAGES: dict[str, Callable[[], str]] = {
    "cli.md": cli,
    "rest.md": rest,
    "settings.md": settings,
    "storage-types.md": storage_types,
    "errors.md": error_codes,
    "import-codes.md": import_codes,
}


def main() -> None:
    """Write every page. Safe to repeat."""
    FOLDER.mkdir(exist_ok=True)
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), encoding="utf-8")
        print(f"docs/reference/{name}")


if __name__ == "__main__":
    main()
