"""Where the answer begins by each way in which templates open it: after a thought that is empty, if any."""

from collections.abc import Sequence

import pytest
from caravan.api.decisions.label_tokens import end_ids, labelled
from caravan.api.decisions.prompts import all_of, written
from caravan.auth.principal import ANONYMOUS
from caravan.errors import InvalidRequestError
from caravan_schemas.messages import UserMessage

from tests.fakes_web import SPECIALS, FakeVocab, ScriptedEngine, loaded_model

TURNS = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
OPENS = "{% if add_generation_prompt %}<|im_start|>assistant\n"
SWITCH = "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}"
# How a template tells that the model thinks.
THINKS = "{% if messages[0].reasoning_content %}<think></think>{% endif %}"
HARMONY = (
    "{% for m in messages %}<|start|>{{ m.role }}<|message|>{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant{% endif %}"
    "{# <|channel|>analysis <|channel|>commentary <|channel|>final to=functions <|call|> #}"
    "{% if reasoning_effort is defined %}{% endif %}"
)


def text_of(token_ids: Sequence[int]) -> str:
    words = {token_id: word for word, token_id in SPECIALS.items()}
    return "".join(words.get(token_id, chr(token_id)) for token_id in token_ids)


@pytest.mark.parametrize(
    ("template", "end"),
    [
        (TURNS + OPENS + "{% endif %}", "assistant\n"),
        (TURNS + OPENS + SWITCH + "{% endif %}", "assistant\n<think>\n\n</think>\n\n"),
        (TURNS + THINKS + OPENS + "<think>\n{% endif %}", "assistant\n<think>\n\n</think>\n\n"),
        (TURNS + THINKS + OPENS + "{% endif %}", "assistant\n<think>\n\n</think>\n\n"),
        (HARMONY, "<|start|>assistant<|channel|>final<|message|>"),
    ],
    ids=["plain", "switch", "open", "unasked", "harmony"],
)
def test_the_label_stands_where_the_answer_begins(template: str, end: str) -> None:
    model = loaded_model(ScriptedEngine(), template=template)
    messages = [UserMessage(role="user", content="Is it?")]
    found = written(messages, ["Yes", "No"], model, ANONYMOUS, param="q", input_param="input")
    assert text_of(found.token_ids).endswith(end)
    assert text_of(found.token_ids).count("</think>") == end.count("</think>")
    assert [text_of(label) for label in found.labels] == ["Yes", "No"]


class Merging(FakeVocab):
    """Joins a line break and an X to one token."""

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        token_ids = super().tokenize(text, add_special=add_special, parse_special=parse_special)
        joined = bytes(token_ids).replace(b"\nX", b"\x01") if max(token_ids, default=0) < 256 else None
        return token_ids if joined is None else list(joined)


def test_a_label_that_changes_the_tokens_before_it_keeps_them() -> None:
    model = loaded_model(ScriptedEngine(), vocab=Merging())
    prompt = "<|im_start|>a\n"
    found = labelled(model, prompt, (257, 97, 10), ["X", "Y"], param="q")
    assert tuple(found.token_ids) == (257, 97)
    assert found.labels == ((1,), (10, 89))


@pytest.mark.parametrize("length", [3, 300])
def test_prompts_without_control_tokens_are_read_at_their_end(length: int) -> None:
    model = loaded_model(ScriptedEngine(context_size=1024))
    prompt = "x" * length + ":"
    found = labelled(model, prompt, tuple(prompt.encode()), ["a", "b"], param="q")
    assert bytes(found.token_ids.tolist()) == prompt.encode()
    assert found.labels == ((97,), (98,))


def test_words_of_control_tokens_in_a_label_are_text() -> None:
    model = loaded_model(ScriptedEngine())
    found = labelled(model, "<|im_start|>a\n", (257, 97, 10), ["<|im_end|>", "b"], param="q")
    assert found.labels == (tuple(b"<|im_end|>"), (98,))


def test_an_answer_ends_by_the_models_own_tokens() -> None:
    assert end_ids(loaded_model(ScriptedEngine())) == (SPECIALS["<|im_end|>"],)


def test_prompts_have_no_more_tokens_than_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("caravan.api.decisions.prompts._MAX_TOKENS", 5)
    prompt = labelled(loaded_model(ScriptedEngine()), "ab", (97, 98), ["x", "y"], param="q")
    assert all_of([prompt] * 2, "questions") == [prompt] * 2
    with pytest.raises(InvalidRequestError, match="'questions' must be fewer"):
        all_of(iter([prompt] * 3), "questions")
