"""What a server does not start over: `serve` and `check-config` refuse the same, with the same line."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from caravan.cli import main
from caravan.config.settings import Settings
from caravan.engine.ipc import spawn
from caravan.observability import log_format
from caravan.web.startup_checks import bound_socket, check, listening_socket
from caravan.web.startup_message import StartError

from tests.cli.calling import call
from tests.conftest import TinyModels
from tests.web.uvicorn.test_tls import Authority


class Folder:
    """Files for a row of the table."""

    def __init__(self, path: Path, model: Path) -> None:
        self.path, self.model = path, model

    def file(self, content: str | bytes, name: str = "file") -> str:
        """A new file; its path."""
        path = self.path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    def folder(self, name: str = "folder") -> str:
        """A new folder; its path."""
        (self.path / name).mkdir()
        return str(self.path / name)

    def pipe(self) -> str:
        """A new pipe that nobody writes to; its path."""
        os.mkfifo(self.path / "pipe")
        return str(self.path / "pipe")

    def none(self) -> str:
        """A path where nothing is."""
        return str(self.path / "none")

    def config(self, text: str) -> tuple[str, str]:
        """Options that name a file with this text, in which MODEL is a sound one."""
        return "--config", self.file(text.replace("MODEL", json.dumps(str(self.model))), "caravan.toml")

    def pem(self) -> Authority:
        """Certificates."""
        return Authority(self.path)


Row = tuple[Callable[[Folder], tuple[str, ...]], str]
TWO = "[[models]]\npath = MODEL\nid = 'a'\n{0}\n[[models]]\npath = MODEL\nid = '{1}'\n{0}\n"

FILES = ("--presets", "--chat-template", "--tls-certificate", "--tls-key")


def _pipe_of(option: str) -> Row:
    return lambda f: (option, f.pipe()), f"{option}: '"


REFUSED: dict[str, Row] = {
    # Decoding values.
    "misspelt default": (
        lambda _: ("--defaults", "tempreture=1"),
        "--defaults: there is no decoding value 'tempreture'; did you mean 'temperature'?",
    ),
    "default out of range": (lambda _: ("--defaults", "temperature=900"), "--defaults: temperature: "),
    "misspelt default of a model": (
        lambda f: f.config("[[models]]\npath = MODEL\nid = 'a'\ndefaults = { top_kk = 1 }"),
        "defaults of the model 'a': there is no decoding value 'top_kk'; did you mean 'top_k'?",
    ),
    "a default of no type of JSON": (
        lambda f: f.config("[defaults]\nstop = 2024-01-01"),
        "--defaults: ",
    ),
    "no presets": (lambda f: ("--presets", f.none()), "the presets in "),
    "presets that are a folder": (lambda f: ("--presets", f.folder()), "is a folder"),
    "presets that are no JSON": (lambda f: ("--presets", f.file("{")), "the presets in "),
    "presets that are a list": (lambda f: ("--presets", f.file("[]")), "must be a JSON object"),
    "a misspelt preset": (
        lambda f: ("--presets", f.file('{"calm": {"temprature": 1}}')),
        "there is no decoding value 'temprature'; did you mean 'temperature'?",
    ),
    # TLS.
    "a TLS key alone": (lambda f: ("--tls-key", str(f.pem().key)), "--tls-key needs --tls-certificate"),
    "no TLS certificate": (
        lambda f: ("--tls-certificate", f.none()),
        "--tls-certificate ",
    ),
    "no TLS key": (
        lambda f: ("--tls-certificate", str(f.pem().certificate), "--tls-key", f.none()),
        "--tls-key ",
    ),
    "a TLS certificate that is none": (lambda f: ("--tls-certificate", f.file("GGUF")), "it is no PEM file"),
    # Models.
    "no model": (lambda f: ("--model", f.none()), "no such file: "),
    "no GGUF": (lambda f: ("--model", f.file("hello", "a.gguf")), "this is not a GGUF file"),
    "half a GGUF": (lambda f: ("--model", f.file("GGUF", "a.gguf")), "the file is cut off or damaged"),
    "no folder of models": (lambda f: ("--models-dir", f.none()), "no such folder: "),
    "a folder without models": (
        lambda f: ("--models-dir", f.folder()),
        "there is no model that could be served",
    ),
    "a model without a name": (lambda f: f.config("[[models]]\npath = MODEL\nid = ''"), "id"),
    "a name in two lines": (lambda f: f.config('[[models]]\npath = MODEL\nid = "a\\nb"'), "id"),
    "a switch for a number": (lambda f: f.config("port = true"), "port"),
    "a name for many models": (
        lambda f: f.config("model_id = 'a'\n[[models]]\npath = MODEL\nid = 'b'"),
        "--model-id names the model of --model",
    ),
    "models in a file": (lambda f: ("--models-dir", f.file("")), "is a file, and a folder is needed"),
    "data in a pipe": (lambda f: ("--data-dir", f.pipe()), "is a named pipe, and a folder is needed"),
    "no model of a table": (lambda f: f.config(f"[[models]]\npath = '{f.none()}'"), "no such file: "),
    "no chat template": (lambda f: ("--chat-template", f.none()), "the chat template "),
    "a chat template that is no text": (lambda f: ("--chat-template", f.file(b"\xff")), "no UTF-8 text"),
    "a chat template of a table": (
        lambda f: f.config(f"[[models]]\npath = MODEL\nchat_template = '{f.none()}'"),
        "the chat template ",
    ),
    "no such tool format": (lambda _: ("--tool-format", "hermees"), "there is no tool_format 'hermees'"),
    "two of a name": (lambda f: f.config(TWO.format("", "a")), "2 models are called 'a'"),
    "more at the start than may be loaded": (
        lambda f: ("--max-loaded", "1", *f.config(TWO.format("preload = true", "b"))),
        "--max-loaded or --memory-budget",
    ),
    "more at the start than there is memory": (
        lambda f: ("--memory-budget", "1KiB", *f.config(TWO.format("pinned = true", "b"))),
        "--max-loaded or --memory-budget",
    ),
    "no public prefixes": (lambda f: ("--public-prefixes", f.none()), "--public-prefixes: no such folder"),
    # Doors.
    "keys that are none": (lambda f: ("--keys-file", f.file("{")), "the file: "),
    "keys in a folder": (lambda f: ("--keys-file", f.folder()), "it is no plain file"),
    "no keys": (lambda f: ("--keys-file", str(Path(f.none()) / "keys.json")), "there are no keys in "),
    "others may come in": (lambda _: ("--host", "0.0.0.0"), "lets other machines in"),
    "a key and no keys": (lambda _: ("--no-auth", "--api-key", "x"), "--no-auth asks for no key"),
    "an address that is none": (
        lambda _: ("--host", "a..b", "--allow-anonymous"),
        "cannot listen on a..b:0: this is no name of a host",
    ),
    "another machine's address": (
        lambda _: ("--host", "192.0.2.1", "--allow-anonymous"),
        "cannot listen on 192.0.2.1:0: ",
    ),
    "a collector without a scheme": (
        lambda _: ("--otlp-endpoint", "localhost:1"),
        "--otlp-endpoint should be",
    ),
    "events of the cache to no address": (
        lambda _: ("--kv-events", "localhost:5557"),
        "--kv-events: 'localhost:5557' should be tcp://HOST:PORT",
    ),
    "a worker without a port": (lambda _: ("--rpc", "here"), "'here' should be host:port"),
    "past events without events": (
        lambda _: ("--kv-events-replay", "tcp://*:5558"),
        "--kv-events-replay has nothing to replay without --kv-events",
    ),
    # Responses.
    "responses in a folder": (lambda f: ("--responses-db", f.folder()), "this is a folder"),
    "responses in a device": (lambda _: ("--responses-db", "/dev/null"), "this is no regular file"),
    "responses under a file": (lambda f: ("--responses-db", f.file("") + "/r.db"), "Not a directory"),
    "responses deep under a file": (lambda f: ("--responses-db", f.file("") + "/a/r.db"), "Not a directory"),
    "responses that are none": (
        lambda f: ("--responses-db", f.file("hello " * 1000)),
        "this is no file of responses, or it is damaged",
    ),
    # What is read for ever, or cannot be read at all.
    **{f"{option} that is a pipe": _pipe_of(option) for option in FILES},
    "a configuration that is a pipe": (lambda f: ("--config", f.pipe()), "pipe: this is a named pipe"),
    "keys in a pipe": (lambda f: ("--keys-file", f.pipe()), "it is no plain file"),
    "responses in a pipe": (lambda f: ("--responses-db", f.pipe()), "this is no regular file"),
    "a model that is a pipe": (lambda f: ("--model", f.pipe()), "no regular file, but a named pipe"),
    "a model that is a device": (lambda _: ("--model", "/dev/zero"), "no regular file, but a device"),
    "a template of a table that is a pipe": (
        lambda f: f.config(f"[[models]]\npath = MODEL\nchat_template = '{f.pipe()}'"),
        "is a named pipe, and a regular file is needed",
    ),
    # What would change another option.
    "a context that is larger than the cache": (
        lambda _: ("--context-size", "4096", "--kv-cache-tokens", "2048"),
        "context_size 4096 is more than kv_cache_tokens 2048",
    ),
    "the same by two sources": (
        lambda f: (
            "--kv-cells",
            "2048",
            *f.config("[[models]]\npath = MODEL\ncontext_size = 4096"),
        ),
        "models[0]: context_size 4096 is more than kv_cache_tokens 2048",
    ),
    "more that run than are in memory": (
        lambda _: ("--max-running", "8", "--max-sequences", "4"),
        "max_running 8 is more than max_sequences 4",
    ),
    "more that run than a step has tokens": (
        lambda _: ("--max-running", "8", "--batch-size", "4"),
        "max_running 8 is more than batch_size 4",
    ),
    "less for all bodies than for one": (
        lambda _: ("--max-held-bytes", "1MiB"),
        "max_held_bytes 1048576 is less than max_body_bytes 4194304",
    ),
    "a bound for no folder": (
        lambda _: ("--prefix-cache-bytes", "1GiB"),
        "prefix_cache_bytes is for prefix_cache_dir, and there is no such folder",
    ),
    "a folder that cannot be made": (
        lambda f: ("--prefix-cache-dir", f"{f.file('')}/prefixes"),
        "is no folder",
    ),
    "a template for no model": (
        lambda f: ("--models-dir", f.folder(), "--chat-template", f.file("")),
        "--chat-template is for the model of --model",
    ),
    # The file itself.
    "no configuration": (lambda f: ("--config", f.none()), "No such file"),
    "a misspelt option": (lambda f: f.config("contxt_size = 1"), "did you mean 'context_size'?"),
    "a misspelt option of a model": (
        lambda f: f.config("[[models]]\npath = MODEL\npined = true"),
        "there is no option 'models[0].pined'; did you mean 'pinned'?",
    ),
}


@pytest.mark.parametrize(("options", "message"), REFUSED.values(), ids=REFUSED)
def test_serve_and_check_config_refuse_the_same(
    options: Callable[[Folder], tuple[str, ...]],
    message: str,
    tiny_models: TinyModels,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(spawn, "launch_ahead", lambda: None)
    monkeypatch.setattr(log_format, "configure", lambda *_: None)
    words = ("--port", "0", *options(Folder(tmp_path, tiny_models["qwen2"])))
    with pytest.raises(SystemExit) as ended:
        main(["serve", *words])
    code = ended.value.code
    assert code in (1, 2)
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("caravan: ")
    assert message in line
    call("check-config", *words, code=int(code))
    assert capsys.readouterr().err.splitlines()[-1] == line


def test_what_serves_passes_and_nothing_is_left(tiny_models: TinyModels, tmp_path: Path) -> None:
    database = tmp_path / "new" / "responses.db"
    model = ("--model", str(tiny_models["qwen2"]))
    call("check-config", *model, "--responses-db", str(database), "--defaults", "temperature=0.5,top_k=3")
    assert not database.parent.exists()
    call("check-config", *model, "--responses-db", "memory")


def test_an_address_that_the_server_itself_has_is_no_fault_of_the_options() -> None:
    with listening_socket("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartError):
            bound_socket("127.0.0.1", port)
        check(Settings(port=port))
