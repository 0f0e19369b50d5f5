"""Names of models, and what is said where there is none: of folders, other files, and slips."""

import os
from pathlib import Path

import pytest
from caravan.config.settings import Settings
from caravan.models import CatalogError, model_specs
from caravan.models.local_models import ModelPathError, find_model


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, so that names are as people write them."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def put(*names: str, content: bytes = b"GGUF and more") -> None:
    for name in names:
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def found(name: str) -> tuple[str, str]:
    model = find_model(Path(name), Path("data"))
    return model.name, str(model.path)


def told(name: str) -> str:
    with pytest.raises(ModelPathError) as caught:
        find_model(Path(name), Path("data"))
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.usefixtures("folder")
def test_files_folders_with_one_and_pulled_models_are_found() -> None:
    put("a/one.gguf", "a/mmproj-one.gguf", "data/models/org/repo/x-Q4_K_M.gguf")
    put(*(f"b/snapshots/1/big-0000{number}-of-00002.gguf" for number in (1, 2)))
    assert found("a/one.gguf") == ("one", "a/one.gguf")
    assert found("a") == found("a/") == ("one", "a/one.gguf")
    assert found("a/mmproj-one.gguf")[0] == "mmproj-one"
    big = ("big", "b/snapshots/1/big-00001-of-00002.gguf")
    assert found("b") == found("b/snapshots/1/big-00002-of-00002.gguf") == big
    assert found("org/repo") == ("org/repo:Q4_K_M", "data/models/org/repo/x-Q4_K_M.gguf")


@pytest.mark.usefixtures("folder")
def test_folders_without_the_one_model_say_what_to_do() -> None:
    put("two/a.gguf", "two/deep/b.gguf", *(f"many/{number:02}.gguf" for number in range(30)))
    put("hf/model.safetensors", "empty/notes.txt")
    assert told("two") == (
        "two is a folder with 2 models: a.gguf, deep/b.gguf. Name one of them with --model, "
        "or serve all with --models-dir two"
    )
    assert "07.gguf and 22 more." in told("many")
    assert "holds a model as safetensors" in told("hf")
    assert "convert_hf_to_gguf.py" in told("hf")
    assert told("empty") == "empty is a folder without GGUF files"


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "empty"),
        (b"hello", "not a GGUF file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull"),
        (b"<!doctype html><html>", "web page"),
        (b"PK\x03\x04\x00", "PyTorch"),
        (b"\x80\x02}", "PyTorch"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"lmgg\x01", "older"),
        ((5000).to_bytes(8, "little") + b'{"__metadata__"', "safetensors"),
    ],
)
def test_other_files_are_known_by_their_beginnings(content: bytes, word: str) -> None:
    put("x.gguf", content=content)
    assert told("x.gguf").startswith("x.gguf: this ")
    assert word in told("x.gguf")
    assert word in told(".")


@pytest.mark.usefixtures("folder")
def test_what_is_no_regular_file_is_not_read() -> None:
    os.mkfifo("pipe.gguf")
    assert told("pipe.gguf") == "pipe.gguf: this is no regular file, but a named pipe"
    assert "no regular file" in told("/dev/null")


@pytest.mark.usefixtures("folder")
def test_parts_that_are_missing_are_named() -> None:
    put("big-00002-of-00003.gguf")
    expected = "big-00002-of-00003.gguf: 2 of 3 parts are missing, big-00001-of-00003.gguf first"
    assert told("big-00002-of-00003.gguf") == expected


@pytest.mark.usefixtures("folder")
def test_near_names_and_ways_to_a_model_are_told() -> None:
    put("a/SmolLM2-135M.Q4_1.gguf", "data/models/org/repo/x-Q4_K_M.gguf", "data/models/org/repo/x-Q8_0.gguf")
    for name in ("a/SmolLM2-135M.Q4_1", "a/SmolLM2-135M.Q4_0.gguf", "a/smollm2-135m.q4_1.gguf"):
        assert told(name) == f"no such file: {name}; did you mean a/SmolLM2-135M.Q4_1.gguf?"
    assert told("org/repo").endswith("; pulled are org/repo:Q4_K_M, org/repo:Q8_0: name one of them")
    assert told("org/rpo:Q8_0").endswith("; did you mean org/repo:Q8_0?")
    assert told("you/it") == "no such file: you/it, nor a pulled model; `caravan pull you/it` downloads one"
    assert told("a/other.gguf") == "no such file: a/other.gguf"
    assert told("b/x.gguf") == "no such file: b/x.gguf; there is no folder b"
    assert "`caravan pull`" in told("https://hub/x.gguf")


@pytest.mark.usefixtures("folder")
def test_a_server_says_the_same() -> None:
    put("two/a.gguf", "two/b.gguf")
    with pytest.raises(CatalogError, match="two is a folder with 2 models"):
        model_specs(Settings(model=Path("two")))
