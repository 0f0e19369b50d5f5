"""Prompts with images and sounds: marks in their places through the template, then cells for the marks.

A mark is a word that nobody can guess, so that no text of a request stands for an image.
"""

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, TypeVar

from caravan_schemas.chat import ConversationFields
from caravan_schemas.media import AudioPart, ImagePart
from caravan_schemas.messages import Message, TextPart, ToolMessage, UserMessage, UserPart

from caravan.api.prompt.tokenize import AS_THEY_ARE, PromptRules, bare_ids, check_length, text_ids, too_long
from caravan.auth.principal import Principal
from caravan.engine.media.values import MediaRun
from caravan.errors import InvalidRequestError, InvalidValueError, UnsupportedParameterError
from caravan.media.reader import MediaReader, MediaSource
from caravan.media.values import EncodedMedia, EncodedRun, Kind, MediaEncoder
from caravan.models.loaded_model import LoadedModel
from caravan.runtime.threads import FairLimiter, in_thread

R = TypeVar("R", bound=ConversationFields)

# What is in the place of one for those who look at prompts, as llama.cpp's server has it.
SHOWN = "<__media__>"
# More than any context has room for, about.
MOST_INPUTS = 128
_WORDS: dict[Kind, str] = {"image": "images", "audio": "sounds"}


class Placed(NamedTuple):
    """A run of tokens and cells in a prompt that stands for an image or a sound."""

    kind: Kind
    start: int
    num_tokens: int


@dataclass(frozen=True)
class Prompt:
    """The tokens of a prompt, -1 in the places of the runs in it. Who is given one releases it.

    `held` is what still has to be let go of.
    """

    token_ids: tuple[int, ...]
    media: tuple[MediaRun, ...] = ()
    placed: tuple[Placed, ...] = ()
    held: list[EncodedMedia] = field(default_factory=list)

    def num_tokens_of(self, kind: Kind) -> int:
        """Count what stands for images, or for sounds."""
        return sum(placed.num_tokens for placed in self.placed if placed.kind == kind)

    def release(self) -> None:
        """Let go of the embeddings; may be called twice."""
        while self.held:
            self.held.pop().release()


class Marks(NamedTuple):
    """The marks of one request, numbered: `word`, a number and an end that is no digit."""

    word: str
    sources: Sequence[MediaSource]
    encoder: MediaEncoder

    def split(self, text: str) -> list[str]:
        """Split a text into pieces, between which are the numbers of inputs. Raises InvalidRequestError."""
        pieces = re.split(f"{self.word}([0-9]+)z", text)
        found = set(map(int, pieces[1::2]))
        for number, source in enumerate(self.sources):
            if number not in found:
                message = f"'{source.param}' would not reach the model: its chat template does not show it."
                raise InvalidRequestError(message, param=source.param, code="invalid_value")
        return pieces

    def shown(self, text: str) -> str:
        """Write a prompt for those who look at it."""
        return SHOWN.join(self.split(text)[::2])


def marked(request: R, model: LoadedModel) -> tuple[R, Marks]:
    """Put marks in the places of images and sounds. Raises InvalidRequestError where the model reads none."""
    word = f"media{secrets.token_hex(16)}n"
    sources: list[MediaSource] = []
    messages = [
        _marked(message, place, word, sources, model) for place, message in enumerate(request.messages)
    ]
    assert model.encoder is not None
    return request.model_copy(update={"messages": messages}), Marks(word, sources, model.encoder)


class MediaPrompts:
    """Makes prompts of texts with marks, by the encoders of their models."""

    def __init__(self, reader: MediaReader) -> None:
        self._reader = reader

    async def prompt(
        self,
        marks: Marks,
        text: str,
        model: LoadedModel,
        principal: Principal,
        *,
        limiter: FairLimiter,
        rules: PromptRules = AS_THEY_ARE,
        has_to_fit: bool = False,
    ) -> Prompt:
        """Encode what the marks stand for, and tokenize the text around it. Raises CaravanError."""
        pieces = marks.split(text)
        check = partial(_check_total, model) if has_to_fit else _check_nothing
        held = await self._reader.read(marks.sources, marks.encoder, principal, check)
        try:
            work = partial(_assembled, model, pieces, marks, held, rules)
            prompt = await in_thread(work, limiter=limiter.held(principal.id, principal.weight))
            if has_to_fit:
                check_length(model, prompt.token_ids, param="messages")
            return prompt
        except BaseException:
            for media in held:
                media.release()
            raise


def _check_total(model: LoadedModel, num_tokens: int) -> None:
    """Refuse images that fill the context by themselves, before more of them are read."""
    if num_tokens >= model.context_size:
        raise too_long(model, f"at least {num_tokens}", "messages")


def _check_nothing(_: int) -> None:
    """Take as many as there are."""


@dataclass
class _Assembly:
    """A prompt that is being put together."""

    token_ids: list[int] = field(default_factory=list)
    media: list[MediaRun] = field(default_factory=list)
    placed: list[Placed] = field(default_factory=list)

    def add(self, kind: Kind, media: EncodedMedia) -> None:
        """Append an image or a sound."""
        begin = len(self.token_ids)
        for chunk in media.chunks:
            if isinstance(chunk, tuple):
                self.token_ids += chunk
                continue
            run = MediaRun(
                start=len(self.token_ids),
                num_cells=chunk.num_cells,
                num_positions=chunk.num_positions,
                key=chunk.key,
                is_causal=chunk.is_causal,
                positions=chunk.positions,
                embeddings=chunk.embeddings,
            )
            self.media.append(run)
            self.token_ids += [-1] * chunk.num_cells
        self.placed.append(Placed(kind, begin, len(self.token_ids) - begin))


def _check_size(model: LoadedModel, source: MediaSource, media: EncodedMedia) -> None:
    """Refuse what the model has to compute at once, and has no batch for."""
    most = model.engine.traits.most_at_once
    whole = [chunk for chunk in media.chunks if isinstance(chunk, EncodedRun) and not chunk.is_causal]
    needed = max((run.num_cells for run in whole), default=0)
    if most is not None and needed > most:
        raise InvalidValueError(
            source.param, f"takes {needed} tokens, which have to be computed at once (--batch-size {most})"
        )


def _assembled(
    model: LoadedModel, pieces: Sequence[str], marks: Marks, held: list[EncodedMedia], rules: PromptRules
) -> Prompt:
    """Tokenize each piece by itself, as llama.cpp's own servers do, and put the inputs between them."""
    found = _Assembly()
    first = text_ids(model, pieces[0], param="messages", adds_special=rules.adds_special)
    # What is added behind a text belongs to the end of the last piece.
    num_after = len(_added(model, rules)) if len(pieces) > 1 else 0
    after = [first.pop() for _ in range(num_after)][::-1]
    found.token_ids += first
    for number, piece in zip(pieces[1::2], pieces[2::2], strict=True):
        index = int(number)
        _check_size(model, marks.sources[index], held[index])
        found.add(marks.sources[index].kind, held[index])
        if piece:
            found.token_ids += bare_ids(model, piece, param="messages")
    token_ids = (*found.token_ids, *after)
    if rules.limit is not None and len(token_ids) > rules.limit:
        raise InvalidValueError("truncate_prompt_tokens", "cannot cut a prompt with images or sounds in it")
    return Prompt(token_ids, tuple(found.media), tuple(found.placed), held)


def _added(model: LoadedModel, rules: PromptRules) -> list[int]:
    """Return the special tokens that the tokenizer adds behind a text."""
    if not rules.adds_special:
        return []
    frame = model.vocab.tokenize("", add_special=True, parse_special=False)
    return frame[1:] if frame[:1] == [model.vocab.bos_id] else frame


def _marked(
    message: Message, place: int, word: str, sources: list[MediaSource], model: LoadedModel
) -> Message:
    if not isinstance(message, UserMessage | ToolMessage) or isinstance(message.content, str):
        return message
    parts: list[UserPart] = []
    path = f"messages[{place}].content"
    for index, part in enumerate(message.content):
        if isinstance(part, TextPart):
            parts.append(part)
        else:
            source = _source(part, f"{path}[{index}]")
            _check_reads(model, source)
            if len(sources) == MOST_INPUTS:
                raise InvalidValueError(source.param, f"is one too many: a request has at most {MOST_INPUTS}")
            parts.append(TextPart(type="text", text=f"{word}{len(sources)}z"))
            sources.append(source)
    return message.model_copy(update={"content": parts})


def _source(part: ImagePart | AudioPart, path: str) -> MediaSource:
    if isinstance(part, AudioPart):
        return MediaSource(kind="audio", source=part.input_audio.data, param=f"{path}.input_audio")
    image = part.image_url
    if isinstance(image, str):
        return MediaSource(kind="image", source=image, param=f"{path}.image_url")
    detail = image.detail or "auto"
    return MediaSource(
        kind="image",
        source=image.url,
        # What OpenAI's models take as it is, a projector takes as closely as it can.
        detail="high" if detail == "original" else detail,
        param=f"{path}.image_url",
    )


def _check_reads(model: LoadedModel, source: MediaSource) -> None:
    if model.encoder is not None and source.kind in model.encoder.modalities:
        return
    missing = (
        "has no projector. The operator starts the server with '--mmproj' and the model's projector for that"
        if model.encoder is None
        else f"has a projector that reads no {_WORDS[source.kind]}"
    )
    message = f"'{source.param}' is not supported: the model '{model.id}' {missing}."
    raise UnsupportedParameterError(message, param=source.param)
