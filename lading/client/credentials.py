"""Where the server is and who you are there: environment first, then `~/.config/lading/credentials.toml`.

    default = "demo"
    [servers.demo]
    url = "https://catalogue.example.org"
    token = "..."

`LADING_SERVER` (or `--server`) names one of the servers; `LADING_URL` and `LADING_TOKEN` win over the file. A token of
the file goes to the server it was saved for and to no other.
"""

from __future__ import annotations

import json
import os
import re
import stat
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..model.errors import InvalidRequest, Unauthenticated

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TOKEN = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class Credentials:
    """A server's address, without a slash at its end, and the token for it (never shown)."""

    url: str
    token: str | None = field(default=None, repr=False)


def path() -> Path:
    """The credentials file; it need not exist."""
    base = os.environ.get("XDG_CONFIG_HOME") or os.path.join(os.path.expanduser("~"), ".config")
    return Path(base) / "lading" / "credentials.toml"


def find(url: str | None = None, token: str | None = None, *, anonymous: bool = False) -> Credentials:
    """The credentials to use. Raises Unauthenticated, saying what to do, when a server or a token is missing.

    With `anonymous` a missing token is no error: some answers are open to all.
    """
    given = url or os.environ.get("LADING_URL")
    token = token or os.environ.get("LADING_TOKEN") or None
    if given is None or token is None:
        saved = _saved(_load(), given)
        if given is None and saved is None:
            raise Unauthenticated("no server is known: run `lading login URL`, or set LADING_URL and LADING_TOKEN")
        given = given or (saved.url if saved else None)
        token = token or (saved.token if saved else None)
    found = Credentials(clean(given or ""), token)
    if found.token is None and not anonymous:
        raise Unauthenticated(f"no token for {found.url}: run `lading login {found.url}`, or set LADING_TOKEN")
    if found.token is not None and not _TOKEN.fullmatch(found.token):
        raise Unauthenticated("the token holds blanks or other characters that no token has: copy it again")
    return found


def clean(url: str) -> str:
    """The address in its one form. Raises InvalidRequest unless it is http(s)://host[:port][/path]."""
    try:
        parts = urlsplit(url.strip())
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        valid = False
    if not valid or parts.query or parts.fragment or parts.username or parts.password:
        raise InvalidRequest("the server's address must look like https://host:port, without a user, '?' or '#'")
    return f"{parts.scheme}://{parts.netloc.lower()}{parts.path.rstrip('/')}"


def save(name: str, credentials: Credentials, *, default: bool = True) -> Path:
    """Write or replace the server `name` in the file, readable by its owner alone; with `default` it is used from now
    on."""
    if not _NAME.fullmatch(name):
        raise InvalidRequest(f"'{name[:80]}' is no name for a server: letters, digits, '-' and '_', at most 64")
    known = _load()
    servers: dict[str, Any] = dict(known.get("servers", {}))
    servers[name] = {"url": credentials.url, "token": credentials.token or ""}
    chosen = name if default or "default" not in known else str(known["default"])
    _write({"default": chosen, "servers": servers})
    return path()


def forget(name: str | None) -> str:
    """Take a server (the default one without a name) out of the file; gives its name back."""
    known = _load()
    servers: dict[str, Any] = dict(known.get("servers", {}))
    name = name or str(known.get("default", ""))
    if name not in servers:
        raise InvalidRequest(f"no server '{name}' in {path()}: it has {', '.join(servers) or 'none'}")
    del servers[name]
    _write({"default": next(iter(servers), ""), "servers": servers})
    return name


def _saved(known: dict[str, Any], url: str | None) -> Credentials | None:
    servers: dict[str, Any] = known.get("servers", {})
    name = os.environ.get("LADING_SERVER") or known.get("default")
    if url is not None:
        wanted = clean(url)
        fits = [n for n, s in servers.items() if s.get("url") == wanted]
        name = name if name in fits else next(iter(fits), None)
    elif name and name not in servers and os.environ.get("LADING_SERVER"):
        raise Unauthenticated(f"no server '{name}' in {path()}: run `lading login URL --name {name}`")
    server = servers.get(name) if name else None
    return Credentials(server["url"], server.get("token") or None) if server else None


def _load() -> dict[str, Any]:
    file = path()
    try:
        with file.open("rb") as stream:
            if stat.S_IMODE(os.fstat(stream.fileno()).st_mode) & 0o077:
                raise Unauthenticated(f"{file} can be read by others: run `chmod 600 {file}`")
            known = tomllib.load(stream)
        servers = known.get("servers", {})
        if not all(isinstance(s, dict) and isinstance(s.get("url"), str) for s in servers.values()):
            raise ValueError("a server without a url")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError):
        raise Unauthenticated(f"{file} cannot be read: mend it, or remove it and run `lading login URL`") from None
    return known


def _write(known: dict[str, Any]) -> None:
    lines = [f"default = {_quoted(known['default'])}"]
    for name, server in known["servers"].items():
        lines += ["", f"[servers.{_quoted(name)}]"]
        lines += [f"{_quoted(key)} = {_quoted(str(value))}" for key, value in server.items()]
    file = path()
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
            stream.write("\n".join(lines) + "\n")
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)  # a TOML basic string is written as a JSON one
