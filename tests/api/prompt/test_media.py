"""Where images stand in prompts, token by token, and what tokenizers add around a text."""

import asyncio
from collections.abc import Iterator, Sequence

import pytest
from caravan.api.prompt.media import Marks, MediaPrompts, Prompt, marked
from caravan.api.prompt.tokenize import PromptRules
from caravan.auth.principal import ANONYMOUS
from caravan.errors import InvalidRequestError
from caravan.media.fetching import ImageFetcher
from caravan.media.reader import MediaReader
from caravan.models.loaded_model import LoadedModel
from caravan.runtime.threads import FairLimiter
from caravan_schemas.chat import ChatCompletionRequest
from caravan_schemas.media import ImagePart
from caravan_schemas.messages import UserMessage

from tests.fakes_web import BOS_ID, SPECIALS, FakeVocab, ScriptedEngine
from tests.web.images import BEGIN, END, StandInEncoder, image, seeing

EOS = SPECIALS["<|im_end|>"]


class FramingVocab(FakeVocab):
    """Adds an end to each text, too."""

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        found = super().tokenize(text, add_special=add_special, parse_special=parse_special)
        return [*found, EOS] if add_special else found


def prompt_of(
    text: str, *images: bytes, vocab: FakeVocab | None = None, rules: PromptRules | None = None
) -> Prompt:
    """The prompt of a text, in which `{0}` is the first image."""
    model = seeing_model(vocab or FakeVocab())
    marks = marks_for(model, *images)
    shown = text.format(*(f"{marks.word}{number}z" for number in range(len(images))))
    reader = MediaPrompts(MediaReader(ImageFetcher([]), 100))
    making = reader.prompt(
        marks, shown, model, ANONYMOUS, limiter=FairLimiter(1), rules=rules or PromptRules()
    )
    prompt = asyncio.run(making)
    prompt.release()
    return prompt


def seeing_model(vocab: FakeVocab) -> LoadedModel:
    model = seeing(ScriptedEngine(), StandInEncoder(), bos_text="<s>" if vocab.bos_id is not None else "")
    object.__setattr__(model, "vocab", vocab)
    return model


def marks_for(model: LoadedModel, *images: bytes) -> Marks:
    messages = [{"role": "user", "content": [image(data) for data in images]}]
    request = ChatCompletionRequest.model_validate({"model": "fake", "messages": messages})
    return marked(request, model)[1]


def tokens(text: str) -> Sequence[int]:
    """`[`, `]` and `*` are of images."""
    odd = {"[": BEGIN, "]": END, "*": -1, "^": BOS_ID, "$": EOS}
    return tuple(odd.get(letter, ord(letter)) for letter in text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a{0}b", "a[*]b"),
        ("{0}", "[*]"),
        ("{0}{1}", "[*][**]"),
        ("a{1}b{0}", "a[**]b[*]"),
        ("{0}a{0}{1}", "[*]a[*][**]"),
    ],
)
def test_images_stand_where_the_template_has_them(text: str, shown: str) -> None:
    prompt = prompt_of(text, b"x", b"yy") if "{1}" in text else prompt_of(text, b"x")
    assert prompt.token_ids == tokens(shown)
    assert [run.start for run in prompt.media] == [i + 1 for i, letter in enumerate(shown) if letter == "["]
    assert prompt.num_tokens_of("image") == len(shown) - sum(letter in "ab" for letter in shown)


def test_what_a_tokenizer_adds_is_around_the_whole() -> None:
    assert prompt_of("a{0}b", b"x", vocab=FakeVocab(with_bos=True)).token_ids == tokens("^a[*]b")
    assert prompt_of("{0}b", b"x", vocab=FakeVocab(with_bos=True)).token_ids == tokens("^[*]b")
    assert prompt_of("<s>a{0}b", b"x", vocab=FakeVocab(with_bos=True)).token_ids == tokens("^a[*]b")
    framing = FramingVocab(with_bos=True)
    assert prompt_of("a{0}b{1}", b"x", b"y", vocab=framing).token_ids == tokens("^a[*]b[*]$")
    assert prompt_of("a{0}", b"x", vocab=FramingVocab()).token_ids == tokens("a[*]$")
    bare = PromptRules(adds_special=False)
    assert prompt_of("a{0}b", b"x", vocab=framing, rules=bare).token_ids == tokens("a[*]b")


def test_an_image_that_is_not_shown_is_refused() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        prompt_of("a{0}", b"x", b"y")
    assert caught.value.param == "messages[0].content[1].image_url"


def test_marks_are_drawn_anew() -> None:
    model = seeing_model(FakeVocab())
    assert len({marks_for(model, b"x").word for _ in range(9)}) == 9


def test_images_beyond_the_most_are_not_even_looked_at() -> None:
    def parts() -> Iterator[ImagePart]:
        yield from [ImagePart(type="image_url", image_url="data:")] * 129
        raise AssertionError("a million may follow")

    message = UserMessage.model_construct(role="user", content=parts())
    request = ChatCompletionRequest.model_construct(model="fake", messages=[message])
    with pytest.raises(InvalidRequestError, match=r"'messages\[0\]\.content\[128\]\.image_url' is one too"):
        marked(request, seeing_model(FakeVocab()))
