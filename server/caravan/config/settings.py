"""Every option of the server, declared once: flag, variable, key of the file and help come from here."""

import ipaddress
import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ByteSize, Field, NonNegativeInt, PositiveInt, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from caravan.config.model_settings import ModelOptions, ModelSettings
from caravan.config.origins import as_browsers_write
from caravan.config.paths import default_data_dir

# The help shows options under headings: each holds from the option named here to the next one named.
SECTIONS = {
    "config": "Configuration",
    "model": "Model",
    "host": "Network",
    "context_size": "Engine",
    "keys_file": "Access",
    "defaults": "Requests",
    "responses_db": "Responses",
    "keep_alive_seconds": "Operation",
}


def _items(value: object) -> object:
    """A list that came as text: JSON, or words with commas between."""
    if not isinstance(value, str):
        return value
    return (
        json.loads(value) if value.lstrip().startswith("[") else [item.strip() for item in value.split(",")]
    )


def _pairs(value: object) -> object:
    """A table that came as text: JSON, or `name=value` pairs with commas between."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("{"):
        return json.loads(value)
    pairs = [item.partition("=") for item in value.split(",")]
    if not all(equals for _, equals, _ in pairs):
        raise ValueError("should be JSON or name=value pairs with commas between")
    return {name.strip(): text.strip() for name, _, text in pairs}


def _tables(value: object) -> object:
    """Tables that came as text: JSON."""
    return json.loads(value) if isinstance(value, str) else value


def _stripped(value: object) -> object:
    """A text without white space around it, as files and terminals add it."""
    return value.strip() if isinstance(value, str) else value


def _filled(names: list[str]) -> list[str]:
    """Names that have letters."""
    if not all(names):
        raise ValueError("an empty name should not be among them")
    return names


def _named(hosts: list[str]) -> list[str]:
    """Names of hosts: no scheme, no port."""
    for host in hosts:
        if not re.fullmatch(r"\*|(\*\.)?[\w.-]+|\[?[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*\]?", host, re.ASCII):
            raise ValueError(f"'{host}' should be a name such as llm.example.org, without scheme or port")
    return hosts


def _sendable(secret: SecretStr) -> SecretStr:
    """A key that a client can put into a header."""
    if not re.fullmatch(r"[!-~]+", secret.get_secret_value()):
        raise ValueError("a key has letters, digits and signs of ASCII alone, and no spaces within")
    return secret


def _exact(origins: list[str]) -> list[str]:
    """Origins as browsers write them: no path, no slash at the end, no port that goes without saying."""
    return [origin if origin in ("*", "null") else as_browsers_write(origin) for origin in origins]


# The home directory may be written `~` in files and variables, where no shell expands it.
Place = Annotated[Path, AfterValidator(Path.expanduser)]
Items = Annotated[list[str], BeforeValidator(_items)]
Names = Annotated[Items, AfterValidator(_filled)]
Hosts = Annotated[Items, AfterValidator(_named)]
Origins = Annotated[Items, AfterValidator(_exact)]
Pairs = Annotated[dict[str, Any], BeforeValidator(_pairs)]
Secret = Annotated[SecretStr, BeforeValidator(_stripped), Field(min_length=1), AfterValidator(_sendable)]
Tables = Annotated[list[ModelSettings], BeforeValidator(_tables)]


# When a caller needs no key.
Anonymous = Literal["never", "before keys", "always"]


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Settings(ModelOptions, BaseSettings):
    """Options of the server. --port is also the variable CARAVAN_PORT and the key `port` of the file."""

    model_config = SettingsConfigDict(
        env_prefix="CARAVAN_",
        env_ignore_empty=True,
        enable_decoding=False,
        extra="forbid",
        protected_namespaces=(),
    )

    config: Place | None = Field(
        default=None, description="TOML file of options. Flags and environment variables beat it."
    )
    model: Place | None = Field(
        default=None,
        description="GGUF file to serve, a folder with one in it, or the name by which `caravan pull` stored "
        "one. Default: the small model that ships with this package.",
    )
    model_id: str | None = Field(
        default=None, description="Name that requests use. Default: the file's name without its ending."
    )
    model_aliases: Names = Field(default=[], description="Further names of the model.")
    chat_template: Place | None = Field(
        default=None, description="File with a Jinja chat template that replaces the model's own."
    )
    models: Tables = Field(
        default=[], description="Models with options of their own: `[[models]]` tables of the file, or JSON."
    )
    models_dir: Place | None = Field(
        default=None, description="Folder whose GGUF files are all served, each loaded at its first request."
    )
    data_dir: Place = Field(
        default_factory=default_data_dir,
        description="Folder for downloaded models and for what the server keeps.",
    )
    max_loaded: NonNegativeInt = Field(
        default=0,
        description="Most models loaded at once; the least recently used one makes room. 0: no limit.",
    )
    memory_budget: ByteSize = Field(
        default=ByteSize(0),
        description="Memory that loaded models may need by estimate, such as 12GiB. "
        "0: four fifths of the machine's, and all of its GPUs'.",
    )
    load_wait_seconds: float = Field(
        default=120.0,
        gt=0,
        allow_inf_nan=False,
        description="How long a request waits for its model to load before it gets a 503.",
    )
    model_stay_seconds: float = Field(
        default=60.0,
        ge=0,
        allow_inf_nan=False,
        description="Within so many seconds, a key may twice have models unloaded that other keys are using; "
        "what it asks for then waits until nobody else has used one for so long. 0: no limit.",
    )
    host: str = Field(default="127.0.0.1", description="Address to listen on; 0.0.0.0 for all.")
    port: int = Field(default=8000, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    cors_origins: Origins = Field(
        default=[], description="Origins whose web pages may call, such as https://example.org; exact."
    )
    allowed_hosts: Hosts = Field(
        default=[],
        description="Further names by which clients without a key may call this server, such as "
        "llm.example.org or *.example.org; * for any. Known are its address and this machine's names.",
    )
    tls_certificate: Place | None = Field(
        default=None, description="PEM file of a certificate and its chain: speak HTTPS alone."
    )
    tls_key: Place | None = Field(default=None, description="PEM file of the certificate's private key.")
    max_connections: PositiveInt = Field(
        default=4096,
        description="Most connections; the one without a request for the longest makes room for another.",
    )
    idle_seconds: float = Field(
        default=75.0,
        gt=0,
        allow_inf_nan=False,
        description="How long a connection is kept open between two requests.",
    )
    keys_file: Place | None = Field(
        default=None,
        description="File of keys, see `caravan keys`. Default: keys.json in the data directory. "
        "Once there has been a key, or where this names a file, every request needs one.",
    )
    api_key: Secret | None = Field(
        default=None, description="One administrator's key beside those of the file."
    )
    allow_anonymous: bool = Field(
        default=False, description="Let other machines in without a key, as long as there has never been one."
    )
    auth: bool = Field(
        default=True,
        description="Ask for keys once there has been one. --no-auth asks nobody, whatever keys there are or "
        "have been.",
    )
    share_prefixes: bool = Field(
        default=False,
        description="Share prefixes in memory among all keys. Timing then tells what others have asked.",
    )
    public_prefixes: Place | None = Field(
        default=None,
        description="Folder of text files. Prompts that begin with one of these texts, raw or in their first "
        "message, share its memory among all keys.",
    )
    defaults: Pairs = Field(
        default={},
        description="Decoding values where a request says nothing, as `temperature=0.7,top_k=20` or as JSON.",
    )
    presets: Place | None = Field(
        default=None,
        description="JSON file of named sets of decoding values: an object of objects.",
    )
    max_choices: PositiveInt = Field(
        default=16, description="Highest `n` or `best_of` that a request may ask for."
    )
    max_prompts: PositiveInt = Field(default=128, description="Most prompts in one completion request.")
    max_body_bytes: PositiveInt = Field(default=4 * 1024 * 1024, description="Largest request body.")
    max_header_bytes: PositiveInt = Field(default=65536, description="Largest head of a request.")
    head_seconds: float = Field(
        default=20.0,
        gt=0,
        allow_inf_nan=False,
        description="How long a request's head may take to arrive, and before it a TLS handshake.",
    )
    body_seconds: float = Field(
        default=60.0, gt=0, allow_inf_nan=False, description="How long a request's body may take to arrive."
    )
    max_held_bytes: ByteSize = Field(
        default=ByteSize(256 * 1024**2),
        gt=0,
        description="Most memory for the bodies of all requests at once, such as 256MiB; beyond it slow "
        "senders make room, and others get a 503.",
    )
    write_seconds: float = Field(
        default=30.0,
        gt=0,
        allow_inf_nan=False,
        description="How long a client may read nothing of an answer that waits for it, or less than 64 KiB "
        "of a long one, before it is given up.",
    )
    strict_fields: bool = Field(
        default=False,
        description="Refuse request fields that nobody knows, and tools that only others have, instead of "
        "leaving them out and saying so in the header x-caravan-ignored.",
    )
    responses_db: Place | None = Field(
        default=None,
        description="File that keeps responses for later requests; `memory` keeps them until the server "
        "ends. Default: responses.db in the data folder.",
    )
    responses_days: float = Field(
        default=30.0,
        gt=0,
        allow_inf_nan=False,
        description="How long a response is kept after it was made or last gone on with.",
    )
    responses_bytes: ByteSize = Field(
        default=ByteSize(1024**3),
        description="Most space for kept responses, such as 1GiB; the least recently used go first.",
    )
    keep_alive_seconds: float = Field(
        default=15.0,
        gt=0,
        allow_inf_nan=False,
        description="Longest silence on a stream: after it, comments are sent, before the first token too.",
    )
    shutdown_seconds: float = Field(
        default=10.0,
        ge=0,
        allow_inf_nan=False,
        description="How long running requests may go on when the server is told to end.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least level logged. info: a line for each request."
    )
    log_format: Literal["text", "json"] = Field(
        default="text", description="Log lines for people, or a JSON object each."
    )
    otlp_endpoint: str | None = Field(
        default=None,
        description="OpenTelemetry collector that gets traces by OTLP over HTTP, such as "
        "http://localhost:4318. Default: what the OTEL_EXPORTER_OTLP variables say. Needs the extra `otel`.",
    )

    @property
    def serves_single(self) -> bool:
        """Whether one model, the resident one if none is named, is served and loaded without further ado."""
        return self.model is not None or not (self.models or self.models_dir)

    @property
    def loads_at_start(self) -> bool:
        """Whether there is a model that does not wait for its first request."""
        return self.serves_single or any(table.preload or table.pinned for table in self.models)

    @property
    def anonymous(self) -> Anonymous:
        """When callers need no key. Whoever names a key or a file of them wants to be asked for one."""
        if not self.auth:
            return "always"
        is_named = self.keys_file is not None or self.api_key is not None
        is_allowed = self.allow_anonymous or is_loopback(self.host)
        return "before keys" if is_allowed and not is_named else "never"

    @property
    def responses_path(self) -> Path | None:
        """Where the file of responses is, or would be; None where they are kept in memory alone."""
        path = self.responses_db or self.data_dir / "responses.db"
        return None if str(path) == "memory" else path

    @property
    def keys_path(self) -> Path:
        """Where the file of keys is, or would be."""
        return self.keys_file or self.data_dir / "keys.json"
