"""The file of keys: who may use the server, and how much. It holds hashes, never a key."""

import hashlib
import json
import os
import secrets
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, TypeAdapter, ValidationError

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Role = Literal["user", "admin"]

_PREFIX = "sk-caravan-"
_NUM_SECRET_BYTES = 32


class KeyFileError(Exception):
    """The file of keys cannot be read or written, or a change to it makes no sense."""


class Key(BaseModel):
    """One key. Limits that are null are none.

    `models` are names or aliases; null allows all. `priority` and `weight` order the queue, `cache_group`
    names the keys whose prefixes in memory are shared; null keeps a key's prefixes to itself.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    hash: str = Field(pattern="^[0-9a-f]{64}$")
    role: Role = "user"
    created: str = ""
    requests_per_minute: PositiveInt | None = None
    tokens_per_minute: PositiveInt | None = None
    concurrent_requests: PositiveInt | None = None
    models: tuple[str, ...] | None = None
    priority: int = Field(default=0, ge=-100, le=100)
    weight: PositiveFloat = Field(default=1.0, le=1000)
    cache_group: Name | None = None


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    keys: list[Key] = []


def digest(token: str) -> str:
    """What is kept of a key. Keys are 256 random bits, so one round of SHA-256 is as hard as they are."""
    return hashlib.sha256(token.encode()).hexdigest()


def operator_key(token: str) -> Key:
    """An administrator's key that is in no file."""
    return Key(name="operator", hash=digest(token), role="admin")


def read(path: Path) -> tuple[Key, ...]:
    """The keys of a file; none where there is no file. Raises KeyFileError."""
    try:
        keys = TypeAdapter(_File).validate_json(path.read_bytes()).keys
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise KeyFileError(f"cannot read {path}: {error.strerror}") from error
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in fault["loc"])
        raise KeyFileError(f"{path}: {place or 'the file'}: {fault['msg']}") from error
    names = [key.name for key in keys]
    if len(set(names)) < len(names):
        raise KeyFileError(f"{path}: two keys have the same name")
    return tuple(keys)


def add(path: Path, **fields: object) -> str:
    """Make a key with a new name; returns it, for the only time. Raises KeyFileError."""
    token = _PREFIX + secrets.token_urlsafe(_NUM_SECRET_BYTES)
    created = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        key = Key.model_validate({**fields, "hash": digest(token), "created": created})
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        raise KeyFileError(f"{fault['loc'][0]}: {fault['msg']}") from error
    keys = read(path)
    if any(known.name == key.name for known in keys):
        raise KeyFileError(f"there is a key '{key.name}' already; revoke it first")
    _write(path, [*keys, key])
    return token


def revoke(path: Path, name: str) -> None:
    """Remove a key; a running server takes no more requests with it. Raises KeyFileError."""
    keys = read(path)
    kept = [key for key in keys if key.name != name]
    if len(kept) == len(keys):
        raise KeyFileError(f"there is no key '{name}' in {path}")
    _write(path, kept)


def _write(path: Path, keys: Sequence[Key]) -> None:
    """Replace the file at once, so that nobody reads half of it; only its owner may read it."""
    document = json.dumps({"keys": [key.model_dump(exclude_defaults=True) for key in keys]}, indent=2)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(descriptor, "w") as file:
            file.write(document + "\n")
        os.replace(name, path)
    except OSError as error:
        raise KeyFileError(f"cannot write {path}: {error.strerror}") from error
