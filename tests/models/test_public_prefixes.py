"""Which tokens may be shared among keys, of texts that the operator put into a folder."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from caravan.api.prepared import num_public_tokens
from caravan.chat.rendering.prompt_template import CHATML
from caravan.config.settings import Settings
from caravan.engine.ipc.child_process import EngineStartError
from caravan.llama.model import Model
from caravan.models import CatalogError, model_specs
from caravan.models.loader import load
from caravan.models.public_prefixes import prefix_ids, read_texts

from tests.conftest import TinyModels
from tests.fakes_web import FakeVocab, ScriptedEngine, loaded_model, local_template, spec_of

TEXT = "You are a clerk of the city of Paris"


def test_a_text_is_public_raw_and_as_a_first_message() -> None:
    found = prefix_ids([TEXT], FakeVocab(), local_template(), "")
    assert found == (
        tuple(TEXT.encode()),
        (257, *f"system\n{TEXT}".encode()),
        (257, *f"user\n{TEXT}".encode()),
    )


def test_templates_that_refuse_or_hide_a_message_have_none_for_it() -> None:
    refusing = "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}" + CHATML
    (_, only) = prefix_ids([TEXT], FakeVocab(), local_template(refusing), "")
    assert only == (257, *f"user\n{TEXT}".encode())
    assert len(prefix_ids([TEXT], FakeVocab(), local_template("nothing of it"), "")) == 1


class WatchedVocab(FakeVocab):
    """Tells whether a text has been read by it."""

    has_read = False

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        self.has_read = True
        return super().tokenize(text, add_special=add_special, parse_special=parse_special)


def test_no_text_is_read_before_the_engine_has_tried_the_tokenizer() -> None:
    """llama.cpp ends the process over some vocabularies: the engine's, in whose start they are tried."""
    vocab, engine = WatchedVocab(), ScriptedEngine()
    spec = replace(spec_of(loaded_model(engine, vocab=vocab)), public_texts=(TEXT,))

    async def run() -> None:
        engine.holds_start = True
        loading = asyncio.create_task(load(spec))
        for _ in range(50):
            await asyncio.sleep(0.002)
        assert not vocab.has_read
        engine.holds_start = False
        assert (await loading).public_prefixes[0] == tuple(TEXT.encode())

    asyncio.run(run())


def test_a_vocabulary_that_fails_its_trial_reads_no_text() -> None:
    vocab, engine = WatchedVocab(), ScriptedEngine()
    engine.start_failure = EngineStartError("the engine ended while loading")
    spec = replace(spec_of(loaded_model(engine, vocab=vocab)), public_texts=(TEXT,))
    with pytest.raises(EngineStartError):
        asyncio.run(load(spec))
    assert not vocab.has_read


@pytest.mark.parametrize("architecture", ["qwen2", "llama"])
def test_prompts_that_go_on_in_any_way_begin_with_the_tokens(
    tiny_models: TinyModels, architecture: str
) -> None:
    model = Model(tiny_models[architecture], vocab_only=True)
    try:
        vocab = model.vocab
        (raw, *_) = prefix_ids([TEXT], vocab, local_template(), "")
        whole = vocab.tokenize(TEXT, add_special=True, parse_special=True)
        assert len(whole) - 4 <= len(raw) <= len(whole)
        for sequel in ("", ", in France.", "\n\nNow", "ian", "12", "\t", "!", "é"):
            prompt = tuple(vocab.tokenize(TEXT + sequel, add_special=True, parse_special=True))
            assert num_public_tokens(prompt, [raw]) == len(raw)
        other = tuple(vocab.tokenize(TEXT[:-5] + "London", add_special=True, parse_special=True))
        assert num_public_tokens(other, [raw]) == 0
    finally:
        model.close()


def test_the_longest_prefix_counts() -> None:
    public = [(1, 2), (1, 2, 3, 4), (5,)]
    assert [num_public_tokens(prompt, public) for prompt in ((1, 2, 3), (1, 2, 3, 4, 9), (9,))] == [2, 4, 0]
    assert num_public_tokens((1, 2), []) == 0


def test_files_are_read_without_the_white_space_around(tmp_path: Path) -> None:
    assert read_texts(None) == ()
    (tmp_path / "b.txt").write_text("\nzwei Wörter\n\n", encoding="utf-8")
    (tmp_path / "a").write_text("one")
    (tmp_path / ".hidden").write_bytes(b"\xff")
    (tmp_path / "folder").mkdir()
    assert read_texts(tmp_path) == ("one", "zwei Wörter")


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [("a.txt", b"\xff\xfe", "a.txt: it is no UTF-8 text"), ("b.txt", b" \n", "b.txt: it has no text")],
)
def test_files_without_a_text_end_the_start(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(CatalogError, match=message):
        model_specs(Settings(public_prefixes=tmp_path))
    with pytest.raises(CatalogError, match="--public-prefixes: no such folder"):
        model_specs(Settings(public_prefixes=tmp_path / "none"))
