"""Every option of the server, declared once: flag, variable, key of the file and help come from here."""

from pathlib import Path
from typing import Literal, Self

from pydantic import (
    ByteSize,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveInt,
    model_validator,
)

from caravan.config.media_options import MediaOptions
from caravan.config.model_settings import FilePath, ModelTables
from caravan.config.network_names import is_loopback
from caravan.config.option_types import (
    Anonymous,
    FolderPath,
    Hosts,
    Names,
    Origins,
    Pairs,
    Place,
    Seconds,
    SecondsOrNone,
    Secret,
    ZmqAddress,
)
from caravan.config.paths import default_data_dir


class Settings(MediaOptions):
    """Options of the server. --port is also the variable CARAVAN_PORT and the key `port` of the file."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    config: FilePath | None = Field(
        default=None, description="TOML file of options. Flags and environment variables beat it."
    )
    model: Place | None = Field(
        default=None,
        description="Model to serve: a GGUF file, a folder with one in it, or the name of a pulled model. "
        "Default: the small model that ships with this package.",
    )
    model_id: str | None = Field(
        default=None, description="Name that requests use. Default: the file's name without its ending."
    )
    model_aliases: Names = Field(default=[], description="Further names of the model.")
    chat_template: FilePath | None = Field(
        default=None, description="Jinja file that replaces the chat template of the model."
    )
    draft_model: Place | None = Field(
        default=None,
        description="Small model of the same tokens that guesses for the model of --model: a GGUF file, or "
        "the name of a pulled model. It changes how long answers take, and no text.",
    )
    models: ModelTables = Field(
        default=[], description="Models with options of their own: `[[models]]` tables of the file, or JSON."
    )
    models_dir: FolderPath | None = Field(
        default=None,
        description="Folder of GGUF files, all of which are served. Each is loaded at its first request.",
    )
    data_dir: FolderPath = Field(
        default_factory=default_data_dir,
        description="Folder for pulled models, keys, what is stored, batches, and the history of chats.",
    )
    max_loaded: NonNegativeInt = Field(
        default=0,
        description="Most models loaded at once. For another one, the least recently used is unloaded. "
        "0: no limit.",
    )
    memory_budget: ByteSize = Field(
        default=ByteSize(0),
        description="Most memory for all loaded models together, such as 12GiB, by estimate. "
        "0: four fifths of the machine's memory, and all of its GPUs'.",
    )
    load_wait_seconds: Seconds = Field(
        default=120.0, description="How long a request waits for its model to load before it gets a 503."
    )
    model_stay_seconds: SecondsOrNone = Field(
        default=60.0,
        description="How long a model counts as used after a request. Within that time, a key may have at "
        "most two models unloaded that other keys use, and no model goes more than three times. 0: no limit.",
    )
    host: str = Field(default="127.0.0.1", description="Address to listen on. 0.0.0.0: all addresses.")
    port: int = Field(default=8000, ge=0, le=65535, description="Port to listen on. 0: any that is free.")
    cors_origins: Origins = Field(
        default=[],
        description="Web pages that may call this server from a browser, by origin, such as "
        "https://example.org; * for all.",
    )
    allowed_hosts: Hosts = Field(
        default=[],
        description="Further host names that requests without a key may be sent to, such as llm.example.org "
        "or *.example.org; * for any. This machine's names and addresses are known.",
    )
    tls_certificate: FilePath | None = Field(
        default=None, description="PEM file of a certificate and its chain. Turns HTTPS on, and HTTP off."
    )
    tls_key: FilePath | None = Field(default=None, description="PEM file of the certificate's private key.")
    max_connections: PositiveInt = Field(
        default=4096,
        description="Most open connections. For another one, the one that has been idle longest is closed.",
    )
    idle_seconds: Seconds = Field(
        default=75.0, description="How long a connection is kept open between two requests."
    )
    keys_file: Place | None = Field(
        default=None,
        description="File of API keys, see `caravan keys`. Default: keys.json in the data folder. "
        "Once there has been a key, or where this option is given, every request needs one.",
    )
    api_key: Secret | None = Field(
        default=None, description="One administrator's key, in addition to those of the file."
    )
    allow_anonymous: bool = Field(
        default=False,
        description="Let other machines in without a key, as long as there has never been a key.",
    )
    auth: bool = Field(
        default=True,
        description="Ask for keys once there has been one. --no-auth never asks, whatever keys there are.",
    )
    page: bool = Field(
        default=True,
        description="Serve the page for people at `/`, with its files, to browsers. --no-page leaves it out.",
    )
    usage_db: Place | None = Field(
        default=None,
        description="File of what each key uses of each model, day by day, see `caravan keys usage`; `none` "
        "keeps nothing. Default: usage.db in the data folder.",
    )
    max_priority: int = Field(
        default=0,
        ge=0,
        le=100,
        description="Without keys: how far before others a request may ask to come, by its `priority`. A key "
        "has a limit of its own: `caravan keys add --max-priority`.",
    )
    share_prefixes: bool = Field(
        default=False,
        description="Let all keys share cached prompts. Response times then tell what others have asked.",
    )
    public_prefixes: FolderPath | None = Field(
        default=None,
        description="Folder of text files. Prompts that begin with one of these texts share its cache among "
        "all keys.",
    )
    defaults: Pairs = Field(
        default={},
        description="Sampling parameters for requests that do not set them, as `temperature=0.7,top_k=20` or "
        "as JSON.",
    )
    presets: FilePath | None = Field(
        default=None,
        description="JSON file of named sets of sampling parameters: an object of objects.",
    )
    max_choices: PositiveInt = Field(
        default=16, description="Most choices of one request: the highest `n` or `best_of`."
    )
    max_prompts: PositiveInt = Field(default=128, description="Most prompts in one completion request.")
    max_body_bytes: PositiveInt = Field(
        default=4 * 1024 * 1024,
        description="Largest request body, in bytes. Default: 4 MiB, and where a model sees, an image more.",
    )
    max_header_bytes: PositiveInt = Field(
        default=65536, description="Largest header of a request, in bytes, with its first line."
    )
    head_seconds: Seconds = Field(
        default=20.0,
        description="How long a request's header may take to arrive. The same holds for a TLS handshake.",
    )
    body_seconds: Seconds = Field(default=60.0, description="How long a request's body may take to arrive.")
    max_held_bytes: ByteSize = Field(
        default=ByteSize(256 * 1024**2),
        gt=0,
        description="Most memory for the bodies of all requests together, such as 256MiB. Beyond it, slow "
        "uploads are ended, and new ones get a 503.",
    )
    write_seconds: Seconds = Field(
        default=30.0,
        description="How long a client may take to read 64 KiB, or all that is sent to it, before it is "
        "disconnected.",
    )
    strict_fields: bool = Field(
        default=False,
        description="Refuse unknown fields of requests, and tools of other servers. Otherwise they are "
        "ignored and named in the header x-caravan-ignored.",
    )
    responses_db: Place | None = Field(
        default=None,
        description="File of stored responses, chats and conversations; `memory` keeps them until the server "
        "ends. Default: responses.db in the data folder.",
    )
    responses_days: Seconds = Field(
        default=30.0,
        description="How many days a response, chat or conversation is stored after it was last used.",
    )
    responses_bytes: ByteSize = Field(
        default=ByteSize(1024**3),
        description="Most space for all that is stored, such as 1GiB. Beyond it, the least recently used are "
        "deleted.",
    )
    batches_dir: Place | None = Field(
        default=None,
        description="Folder of uploaded files and of batches. Default: batches in the data folder or, where "
        "responses are kept in `memory`, a temporary folder that ends with the server.",
    )
    max_file_bytes: ByteSize = Field(
        default=ByteSize(200 * 1024**2), gt=0, description="Largest file to be uploaded, such as 200MiB."
    )
    files_bytes: ByteSize = Field(
        default=ByteSize(2 * 1024**3),
        description="Most space for a key's files and the answers of its batches, such as 2GiB. 0: none.",
    )
    sse_ping_seconds: Seconds = Field(
        default=15.0,
        description="How long a stream may be silent before a comment is sent to keep the connection open.",
    )
    shutdown_seconds: SecondsOrNone = Field(
        default=10.0,
        description="How long running requests may go on when the server is told to end.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Lowest level that is logged. info: a line for each request."
    )
    log_format: Literal["text", "json"] = Field(
        default="text", description="text: log lines for people. json: an object on each line."
    )
    kv_events: ZmqAddress = Field(
        default=None,
        description="ZeroMQ address for events of the prefix cache, as of vLLM, for routers: tcp://*:5557 "
        "listens, tcp://router:5557 connects. Needs the extra `kv-events`.",
    )
    kv_events_replay: ZmqAddress = Field(default=None, description="Address where missed ones can be had.")
    kv_events_name: str | None = Field(
        default=None, description="Server's name in their topics `kv@NAME@MODEL`. Default: machine and port."
    )
    otlp_endpoint: str | None = Field(
        default=None,
        description="OpenTelemetry collector for traces (OTLP over HTTP), such as http://localhost:4318. "
        "Default: what the OTEL_EXPORTER_OTLP variables say. Needs the extra `otel`.",
    )

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        """No option may be changed silently because of another."""
        fault = self.contradiction()
        held, body = self.max_held_bytes, self.max_body_bytes
        if fault is None and "max_held_bytes" in self.model_fields_set and held < body:
            fault = f"max_held_bytes {held} is less than max_body_bytes {body}"
        if fault is not None:
            raise ValueError(fault)
        return self

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
    def batches_path(self) -> Path | None:
        """Where the folder of files and batches is, or would be; None where it is a temporary one."""
        return self.batches_dir or (self.responses_path and self.data_dir / "batches")

    @property
    def usage_path(self) -> Path | None:
        """Where the file of what keys use is, or would be; None where it is not kept."""
        path = self.usage_db or self.data_dir / "usage.db"
        return None if str(path) == "none" else path

    @property
    def keys_path(self) -> Path:
        """Where the file of keys is, or would be."""
        return self.keys_file or self.data_dir / "keys.json"
