"""What options are: their types, and how the texts of flags and variables are read as them."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from caravan.config.network_names import checked_hosts, checked_origins
from caravan.config.paths import folder_path


def items(value: object) -> object:
    """A list that came as text: JSON, or words with commas between."""
    if not isinstance(value, str):
        return value
    return (
        json.loads(value) if value.lstrip().startswith("[") else [item.strip() for item in value.split(",")]
    )


def pairs(value: object) -> object:
    """A table that came as text: JSON, or `name=value` pairs with commas between."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("{"):
        return json.loads(value)
    pairs = [item.partition("=") for item in value.split(",")]
    if not all(equals for _, equals, _ in pairs):
        raise ValueError("should be JSON or name=value pairs with commas between")
    names = [name.strip() for name, _, _ in pairs]
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise ValueError(f"has '{twice[0]}' twice")
    return {name: text.strip() for name, (_, _, text) in zip(names, pairs, strict=True)}


def _sendable(secret: SecretStr) -> SecretStr:
    """A key that a client can put into a header, without the white space that files and terminals add."""
    text = secret.get_secret_value().strip()
    if not re.fullmatch(r"[!-~]+", text):
        raise ValueError("a key has letters, digits and signs of ASCII alone, and no spaces within")
    return SecretStr(text)


def _checked_worker(text: str) -> str:
    if not re.fullmatch(r"[^\s:]+:[0-9]{1,5}", text):
        raise ValueError(f"'{text}' should be host:port")
    return text


def _checked_zmq(text: str | None) -> str | None:
    if text is not None and not re.fullmatch(r"tcp://\S+:([0-9]{1,5}|\*)|ipc://\S+", text):
        raise ValueError(f"'{text}' should be tcp://HOST:PORT, tcp://*:PORT or ipc://PATH")
    return text


# When a caller needs no key.
Anonymous = Literal["never", "before keys", "always"]
Place = Annotated[Path, AfterValidator(Path.expanduser)]
FolderPath = Annotated[Path, AfterValidator(folder_path)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
SecondsOrNone = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Items = Annotated[list[str], BeforeValidator(items)]
Names = Annotated[list[Annotated[str, Field(min_length=1)]], BeforeValidator(items)]
Hosts = Annotated[Items, AfterValidator(checked_hosts)]
Origins = Annotated[Items, AfterValidator(checked_origins)]
Pairs = Annotated[dict[str, Any], BeforeValidator(pairs)]
Secret = Annotated[SecretStr, AfterValidator(_sendable)]
Workers = Annotated[list[Annotated[str, AfterValidator(_checked_worker)]], BeforeValidator(items)]
ZmqAddress = Annotated[str | None, AfterValidator(_checked_zmq), Field(examples=["tcp://*:5557"])]
