"""What can be set: defaults < a TOML file < environment LADING_SERVER_* < options of the command."""

from __future__ import annotations

import ipaddress
import os
import secrets
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from lading.model.errors import InvalidRequest

PREFIX = "LADING_SERVER_"
_LISTS = ("trusted_proxies", "worker_elements", "worker_links")


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """Every setting of a server. In the file as `port = 8321`, in the environment as LADING_SERVER_PORT=8321."""

    name: Annotated[str, Meta(description="What the server calls itself in /v1/info.")] = "lading"
    data: Annotated[
        str, Meta(description="The folder of the embedded database, the key and the administrator's token.")
    ] = ""
    database_url: Annotated[str, Meta(description="PostgreSQL 14 to 18 to use instead of the embedded one.")] = ""
    host: Annotated[str, Meta(description="The address to listen on; 0.0.0.0 for all.")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="The port to listen on; 0 takes a free one.")] = 8321
    processes: Annotated[int, Meta(ge=1, le=256, description="Server processes that share the port.")] = 1
    pool_size: Annotated[int, Meta(ge=2, le=1000, description="Database connections of one process, at most.")] = 10
    public_url: Annotated[str, Meta(description="How clients reach this server, when it stands behind a proxy.")] = ""
    trusted_proxies: Annotated[
        list[str], Meta(description="Addresses or networks of proxies whose X-Forwarded-For is believed.")
    ] = []
    max_body: Annotated[int, Meta(ge=1024, description="Bytes a JSON body may have.")] = 64 * 2**20
    body_seconds: Annotated[float, Meta(gt=0, description="Seconds a JSON body may take to arrive.")] = 60.0
    slow_seconds: Annotated[float, Meta(gt=0, description="A request slower than this is logged, whatever it was.")] = (
        1.0
    )
    search_seconds: Annotated[float, Meta(gt=0, description="Seconds of the database that a search may take.")] = 60.0
    drain_seconds: Annotated[float, Meta(ge=0, description="Seconds that requests get to finish at shutdown.")] = 20.0
    worker_concurrency: Annotated[int, Meta(ge=1, le=1000, description="Transfers that a worker does at once.")] = 16
    worker_elements: Annotated[
        list[str], Meta(description="A worker serves only links that begin or end at these elements.")
    ] = []
    worker_links: Annotated[list[str], Meta(description="A worker serves only these links, as SOURCE>TARGET.")] = []
    worker_patience: Annotated[
        float, Meta(ge=1, description="Seconds without a sign of life after which a worker is taken for dead.")
    ] = 60.0
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Meta(description="debug logs every request; info writes, errors and slow ones."),
    ] = "info"
    log_format: Annotated[
        Literal["auto", "json", "text"], Meta(description="auto is text on a terminal and JSON lines elsewhere.")
    ] = "auto"


def load(file: Path | None = None, environment: dict[str, str] | None = None, **options: Any) -> Config:
    """The settings. Options that are None were not given. Raises InvalidRequest naming the setting and where it
    stands."""
    values: dict[str, Any] = {}
    if file is not None:
        try:
            values |= _checked(msgspec.toml.decode(file.read_bytes()), str(file))
        except OSError as error:
            raise InvalidRequest(f"can't read {file}: {error.strerror}") from None
        except msgspec.DecodeError as error:
            raise InvalidRequest(f"{file} is not TOML: {error}") from None
    for variable, text in (os.environ if environment is None else environment).items():
        if variable.startswith(PREFIX):
            name = variable.removeprefix(PREFIX).lower()
            value: Any = [v.strip() for v in text.split(",") if v.strip()] if name in _LISTS else text
            values |= _checked({name: value}, f"the environment variable {variable}")
    values |= _checked({k: v for k, v in options.items() if v is not None}, "the options")
    return msgspec.convert(values, Config, strict=False)


def _checked(values: Any, where: str) -> dict[str, Any]:
    try:
        config = msgspec.convert(values, Config, strict=False)
        for proxy in config.trusted_proxies:
            ipaddress.ip_network(proxy, strict=False)
    except ValueError as error:  # msgspec's ValidationError too
        raise InvalidRequest(f"{where}: {error}") from None
    return {name: getattr(config, name) for name in values}


def secret_key(data: str) -> bytes:
    """The key that encrypts the secrets of storage elements, as 32 bytes.

    From LADING_SECRET_KEY (64 hex digits), from the file LADING_SECRET_KEY_FILE names, or from `secret.key` in the data
    folder, made on first use and readable by its owner alone. Raises InvalidRequest when there is none or it is
    garbled.
    """
    if text := os.environ.get("LADING_SECRET_KEY"):
        return _key(text, "LADING_SECRET_KEY")
    named = os.environ.get("LADING_SECRET_KEY_FILE")
    if not named and not data:
        raise InvalidRequest("no key for the secrets of storage elements: set LADING_SECRET_KEY_FILE, or --data")
    path = Path(named) if named else Path(data) / "secret.key"
    if not named:
        make_private(path, secrets.token_hex(32) + "\n")
    try:
        return _key(path.read_text(), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"can't read the key in {path}: {error}") from None


def _key(text: str, where: str) -> bytes:
    try:
        key = bytes.fromhex(text.strip())
    except ValueError:
        key = b""
    if len(key) != 32:
        raise InvalidRequest(f"{where}: the key must be 64 hex digits, as 'openssl rand -hex 32' makes them")
    return key


def make_private(path: Path, text: str, *, replace: bool = False) -> bool:
    """Write a file that only its owner reads, whole or not at all. True when it was written; False when it was
    there."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    if replace:
        temporary.replace(path)
        return True
    try:
        os.link(temporary, path)  # unlike a rename it never replaces the file of somebody who was faster
    except FileExistsError:
        return False
    finally:
        temporary.unlink()
    return True
