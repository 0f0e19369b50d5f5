"""Options from flags, environment and defaults, each declared once."""

from pathlib import Path

import pytest
import typer
from caravan.cli.errors import CommandError
from caravan.cli.options import SECTIONS, with_settings
from caravan.config.load import Configuration
from caravan.config.settings import Settings
from pydantic import SecretStr, ValidationError
from typer.exceptions import TyperException


def read_settings(options: list[str]) -> Settings:
    return read(options).settings


def read(options: list[str]) -> Configuration:
    """What a command with the flags of `Settings` is given."""
    seen: list[Configuration] = []
    app = typer.Typer(add_completion=False)
    app.command()(with_settings(seen.append))
    try:
        app(options, standalone_mode=False)
    except (CommandError, TyperException) as error:
        raise ValueError(str(error)) from error
    return seen[0]


def test_flags_beat_variables_and_variables_beat_defaults(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CARAVAN_PORT", "9001")
    monkeypatch.setenv("CARAVAN_CONTEXT_SIZE", "512")
    settings = read_settings(["--port", "9002", "--model-aliases", "a,b/c"])
    assert (settings.port, settings.context_size, settings.batch_size) == (9002, 512, 512)
    assert settings.model_aliases == ["a", "b/c"]


@pytest.mark.parametrize(
    ("variable", "text"),
    [("CARAVAN_MODEL_ALIASES", ","), ("CARAVAN_MODELS", '[{"path": "a.gguf", "aliases": [""]}]')],
)
def test_an_alias_without_letters_is_refused(
    monkeypatch: pytest.MonkeyPatch, variable: str, text: str
) -> None:
    monkeypatch.setenv(variable, text)
    with pytest.raises(ValueError, match=r"an empty name|at least 1 character"):
        read_settings([])


def test_every_option_is_a_flag_with_help_under_a_heading(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    app = typer.Typer(add_completion=False)
    app.command()(with_settings(lambda _: None))
    app(["--help"], standalone_mode=False)
    shown = capsys.readouterr().out
    for name, field in Settings.model_fields.items():
        if name == "models":  # tables do not fit on a command line
            continue
        assert f"--{name.replace('_', '-')} " in shown
        assert field.description
        assert field.description.split(".")[0] in shown
    assert set(SECTIONS) <= set(Settings.model_fields)
    assert all(f" {heading} " in shown for heading in SECTIONS.values())


def test_decoding_defaults_are_pairs_or_json(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_settings(["--defaults", "temperature=0.7,top_k=20"]).defaults.keys() == {
        "temperature",
        "top_k",
    }
    assert read_settings(["--defaults", '{"stop": ["a,b"]}']).defaults == {"stop": ["a,b"]}
    monkeypatch.setenv("CARAVAN_DEFAULTS", '{"temperature": 0.7}')
    assert read_settings([]).defaults == {"temperature": 0.7}
    with pytest.raises(ValueError, match="defaults"):
        read_settings(["--defaults", "temperature"])


def test_switches_and_paths() -> None:
    settings = read_settings(["--strict-fields", "--model", "/some/where.gguf", "--model-id", "x"])
    assert settings.strict_fields
    assert settings.model == Path("/some/where.gguf")
    assert read_settings(["--no-strict-fields"]).strict_fields is False


@pytest.mark.parametrize(
    ("options", "name"),
    [
        (["--port", "99999"], "--port"),
        (["--port", "http"], "--port"),
        (["--context-size", "-1"], "--context-size"),
        (["--max-sequences", "257"], "--max-sequences"),
        (["--sse-ping-seconds", "0"], "--sse-ping-seconds"),
        (["--sse-ping-seconds", "nan"], "--sse-ping-seconds"),
        (["--log-level", "loud"], "--log-level"),
        (["--prot", "8000"], "--prot"),
        (["model.gguf"], "model.gguf"),
        (["--port"], "--port"),
    ],
)
def test_a_wrong_option_is_one_line_that_names_it(options: list[str], name: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        read_settings(options)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_wrong_variable_is_one_line_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARAVAN_MAX_BODY_BYTES", "plenty")
    with pytest.raises(ValueError, match=r"^CARAVAN_MAX_BODY_BYTES: "):
        read_settings([])


def test_a_file_is_beaten_by_variables_and_those_by_flags(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "caravan.toml"
    file.write_text(
        'port = 1\nthreads = 1\nmax_running = 1\nmodel_aliases = ["a"]\n[defaults]\ntemperature = 0.5\n'
    )
    monkeypatch.setenv("CARAVAN_CONFIG", str(file))
    monkeypatch.setenv("CARAVAN_PORT", "2")
    monkeypatch.setenv("CARAVAN_THREADS", "2")
    found = read(["--port", "3"])
    settings = found.settings
    assert (settings.port, settings.threads, settings.max_running, settings.batch_size) == (3, 2, 1, 512)
    assert (settings.model_aliases, settings.defaults) == (["a"], {"temperature": 0.5})
    assert found.origins["port"] == "--port"
    assert found.origins["threads"] == "CARAVAN_THREADS"
    assert found.origins["max_running"] == f"max_running in {file}"
    assert "batch_size" not in found.origins


def test_options_that_were_renamed_are_read_by_their_old_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "caravan.toml"
    file.write_text("kv_cells = 1\nkv_parked = 1\n[[models]]\npath = 'a'\nkv_cells = 4\n")
    monkeypatch.setenv("CARAVAN_KV_PARKED", "2")
    found = read(["--config", str(file), "--keep-alive-seconds", "3"])
    settings = found.settings
    assert (settings.kv_cache_tokens, settings.host_cache_tokens, settings.sse_ping_seconds) == (1, 2, 3)
    assert settings.models[0].kv_cache_tokens == 4
    assert found.origins["kv_cache_tokens"] == f"kv_cells in {file}"
    assert found.origins["host_cache_tokens"] == "CARAVAN_KV_PARKED"
    assert found.origins["sse_ping_seconds"] == "--keep-alive-seconds"
    # A new name beats an old one of a weaker source.
    assert read(["--config", str(file), "--kv-cache-tokens", "5"]).settings.kv_cache_tokens == 5


def test_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARAVAN_MODEL", "")
    assert read([]).settings.model is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prot = 1", "FILE: there is no option 'prot'; did you mean 'port'?"),
        ("context-size = 1", "FILE: there is no option 'context-size'; did you mean 'context_size'?"),
        ("Port = 1", "FILE: there is no option 'Port'; did you mean 'port'?"),
        (
            "[[models]]\npath = 'a'\nPINNED = true",
            "FILE: there is no option 'models[0].PINNED'; did you mean 'pinned'?",
        ),
        ("kv_cells = 1\nkv_cache_tokens = 1", "kv_cells in FILE is the old name of kv_cache_tokens in FILE"),
        (
            "[[models]]\npath = 'a'\nkv_cells = 1\nkv_cache_tokens = 1",
            "models[0] in FILE: 'kv_cells' is the old name of 'kv_cache_tokens'",
        ),
        ("port = 'x'", "port in FILE: input should be a valid integer, unable to parse string as an integer"),
        ("port = ", "FILE: Invalid value (at end of document)"),
        ("config = 'x'", "FILE: 'config' cannot be set in the file itself"),
        ("port = 1\nport = 2", "FILE: Cannot overwrite a value"),
    ],
)
def test_a_wrong_file_is_a_line_with_its_name(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "caravan.toml"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"^[^\n]*$") as caught:
        read(["--config", str(file)])
    assert str(caught.value).startswith(message.replace("FILE", str(file)))


def test_each_fault_has_its_line(tmp_path: Path) -> None:
    file = tmp_path / "caravan.toml"
    file.write_text("prot = 1\nthreads = -1\n")
    with pytest.raises(ValueError, match=r".") as caught:
        read(["--config", str(file), "--port", "x"])
    assert len(str(caught.value).splitlines()) == 3


def test_a_missing_file_is_a_line_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none\.toml: No such file"):
        read(["--config", str(tmp_path / "none.toml")])


def test_a_variable_that_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARAVAN_CONTEXT_SISE", "1")
    with pytest.raises(ValueError, match=r"CARAVAN_CONTEXT_SISE.* did you mean 'CARAVAN_CONTEXT_SIZE'"):
        read([])
    monkeypatch.delenv("CARAVAN_CONTEXT_SISE")
    monkeypatch.setenv("CARAVAN_Port", "1")
    with pytest.raises(ValueError, match=r"CARAVAN_Port: .* did you mean 'CARAVAN_PORT'"):
        read([])


def test_what_kubernetes_sets_for_a_service_of_our_name(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP", "PORT_8000_TCP", "PORT_8000_TCP_ADDR"):
        monkeypatch.setenv(f"CARAVAN_{name}", "x")
        monkeypatch.setenv(f"CARAVAN_API_{name}", "x")
    monkeypatch.setenv("CARAVAN_API_PORT", "tcp://10.0.0.1:8000")
    assert read([]).settings.port == 8000
    monkeypatch.setenv("CARAVAN_PORT", "tcp://10.0.0.1:8000")
    with pytest.raises(ValueError, match=r"CARAVAN_PORT: tcp://.*`enableServiceLinks: false"):
        read([])
    assert read(["--port", "9000"]).settings.port == 9000


def test_models_are_tables_of_the_file_or_json(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "caravan.toml"
    file.write_text('memory_budget = "2GiB"\n[[models]]\npath = "a.gguf"\nid = "a"\n[[models]]\npath = "b"\n')
    settings = read_settings(["--config", str(file)])
    assert settings.memory_budget == 2 << 30
    assert [(str(table.path), table.id) for table in settings.models] == [("a.gguf", "a"), ("b", None)]
    file.write_text('[[models]]\npath = "a.gguf"\ncontext_sise = 3\n')
    with pytest.raises(ValueError, match=r"'models\[0\]\.context_sise'; did you mean 'context_size'"):
        read_settings(["--config", str(file)])
    monkeypatch.setenv("CARAVAN_MODELS", '[{"path": "c", "pinned": true}]')
    assert read_settings([]).models[0].pinned
    monkeypatch.setenv("CARAVAN_MODELS", "c")
    with pytest.raises(ValueError, match="CARAVAN_MODELS"):
        read_settings([])


@pytest.mark.parametrize(
    ("options", "single", "at_start"),
    [
        ([], True, True),
        (["--model", "a.gguf"], True, True),
        (["--models-dir", "/models"], False, False),
        (["--models-dir", "/models", "--model", "a.gguf"], True, True),
    ],
)
def test_what_is_loaded_before_anybody_asks_for_it(options: list[str], single: bool, at_start: bool) -> None:
    settings = read_settings(options)
    assert settings.serves_single is single
    assert settings.loads_at_start is at_start


@pytest.mark.parametrize(("field", "at_start"), [("preload", True), ("pinned", True), ("id", False)])
def test_models_of_a_file_are_loaded_at_the_start_where_it_says_so(
    tmp_path: Path, field: str, at_start: bool
) -> None:
    file = tmp_path / "caravan.toml"
    value = '"a"' if field == "id" else "true"
    file.write_text(f'[[models]]\npath = "a.gguf"\n{field} = {value}\n', encoding="utf-8")
    settings = read_settings(["--config", str(file)])
    assert not settings.serves_single
    assert settings.loads_at_start is at_start


@pytest.mark.parametrize("key", ["a\nb", "a b", "k\u00e9y", "a\x00"])
def test_a_key_that_no_client_could_send_is_refused(key: str) -> None:
    with pytest.raises(ValidationError, match="api_key"):
        Settings(api_key=SecretStr(key))
