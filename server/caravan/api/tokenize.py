"""What tokenizers and templates make of texts, shown to clients."""

import asyncio
import weakref
from array import array
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from functools import partial
from typing import TypeVar

import msgspec
from caravan_schemas.chat import ConversationFields
from caravan_schemas.common import ModelFields
from caravan_schemas.tokenize import (
    ApplyTemplateRequest,
    ApplyTemplateResponse,
    DetokenizeRequest,
    DetokenizeResponse,
    MediaPlace,
    TokenizeRequest,
)

from caravan.api.context import RequestContext
from caravan.api.output.encoding import to_json
from caravan.api.prompt import tokenize
from caravan.api.prompt.chat_prompt import has_media, rendered, threads_for
from caravan.api.prompt.media import Marks, MediaPrompts, Placed, Prompt, marked
from caravan.auth.principal import Principal
from caravan.errors import InvalidValueError
from caravan.models import ModelRegistry
from caravan.models.loaded_model import LoadedModel, TextVocab
from caravan.runtime.threads import FairLimiter, in_thread

T = TypeVar("T")

# For each model: bodies of megabytes take a thread for seconds, and those of chats must not run out.
_MAX_THREADS = 2
# For longer texts llama.cpp takes up to 70 bytes a character, so they are read one at a time.
_LONG = 262_144
# Tokens written at once: some milliseconds of work, and some hundred kilobytes of JSON.
_AT_ONCE = 8192
# Answers of fewer bytes go out in one piece.
_PART_BYTES = 262_144
# Tokens may stand for hundreds of bytes each.
_MAX_TEXT_BYTES = 16 * 1024 * 1024
_ONE_OF_THEM = "must be given, or else 'content' or 'messages', and only one of them"
# Fields that mean nothing to a text.
_CONVERSATION = ApplyTemplateRequest.model_fields.keys() - ModelFields.model_fields.keys()


class TokenService:
    """Serves `POST /tokenize`, `/detokenize` and `/apply-template`; the answers are JSON."""

    def __init__(self, registry: ModelRegistry, media: MediaPrompts) -> None:
        self._registry = registry
        self._media = media
        self._long = asyncio.Lock()
        self._threads = weakref.WeakKeyDictionary[LoadedModel, FairLimiter]()

    async def tokenize(
        self, request: TokenizeRequest, context: RequestContext
    ) -> AsyncGenerator[bytes, None]:
        """Yield the tokens of a text or a conversation in pieces: a long answer is never there as a whole."""
        async with context.holding(self._registry, request.model) as model:
            context.metrics.model = model.id
            placed: Sequence[Placed] = ()
            if has_media(request.messages):
                _check_conversation(request)
                prompt = await self._prompt(request, model, context.principal)
                token_ids, placed = array("i", prompt.token_ids), prompt.placed
            else:
                token_ids = await self._token_ids(model, request, context.principal)
            pieces = token_answer(request, model.vocab, token_ids, model.context_size, placed)
            while part := await self._run(model, context.principal, partial(_next_part, pieces)):
                yield part

    async def _token_ids(
        self, model: LoadedModel, request: TokenizeRequest, principal: Principal
    ) -> "array[int]":
        work = partial(_token_ids, model, request, principal)
        if len(request.prompt or request.content or "") <= _LONG:
            return await self._run(model, principal, work, request if request.messages else None)
        async with self._long:
            return await self._run(model, principal, work)

    async def detokenize(self, request: DetokenizeRequest, context: RequestContext) -> bytes:
        """Write the text of tokens."""
        async with context.holding(self._registry, request.model) as model:
            context.metrics.model = model.id
            return await self._run(model, context.principal, partial(_detokenize, model, request))

    async def apply_template(self, request: ApplyTemplateRequest, context: RequestContext) -> bytes:
        """Write the prompt of a conversation."""
        principal = context.principal
        async with context.holding(self._registry, request.model) as model:
            context.metrics.model = model.id
            marks: Marks | None = None
            if has_media(request.messages):
                request, marks = marked(request, model)
            work = partial(rendered, request, model, principal)
            prompt, _ = await self._run(model, principal, work, request)
            return to_json(ApplyTemplateResponse(prompt=prompt if marks is None else marks.shown(prompt)))

    async def count(self, conversation: ConversationFields, model: LoadedModel, principal: Principal) -> int:
        """Count the tokens of a conversation's prompt, of any length."""
        if has_media(conversation.messages):
            return len((await self._prompt(conversation, model, principal)).token_ids)

        def work() -> int:
            text, _ = rendered(conversation, model, principal)
            return len(tokenize.text_ids(model, text, param="messages"))

        return await self._run(model, principal, work, conversation)

    async def _prompt(
        self, conversation: ConversationFields, model: LoadedModel, principal: Principal
    ) -> Prompt:
        """Make the prompt of a conversation with images, whose embeddings nobody needs."""
        conversation, marks = marked(conversation, model)
        work = partial(rendered, conversation, model, principal)
        text, _ = await self._run(model, principal, work, conversation)
        threads = self._threads_of(model)
        prompt = await self._media.prompt(marks, text, model, principal, limiter=threads)
        prompt.release()
        return prompt

    def _threads_of(self, model: LoadedModel) -> FairLimiter:
        return self._threads.setdefault(model, FairLimiter(_MAX_THREADS))

    async def _run(
        self,
        model: LoadedModel,
        principal: Principal,
        work: Callable[[], T],
        conversation: ConversationFields | None = None,
    ) -> T:
        """Call `work` on a thread, chosen by the `conversation` that it is about, if there is one."""
        threads = self._threads_of(model)
        if conversation is not None:
            threads = threads_for(conversation, model, threads)
        return await in_thread(work, limiter=threads.held(principal.id, principal.weight))


def token_answer(
    request: TokenizeRequest,
    vocab: TextVocab,
    token_ids: "array[int]",
    context_size: int,
    placed: Sequence[Placed] = (),
) -> Iterator[bytes]:
    """Write the answer of `/tokenize` piece by piece: a text of megabytes has millions of tokens."""

    def raw(token_id: int) -> bytes:
        return b"" if token_id < 0 else vocab.raw_bytes(token_id)

    def with_piece(token_id: int) -> object:
        return {"id": token_id, "piece": _piece(raw(token_id))}

    yield b'{"tokens":'
    yield from _json_list(token_ids, with_piece if request.with_pieces else int)
    yield b',"count":%d,"max_model_len":%d' % (len(token_ids), context_size)
    if request.return_token_strs:
        yield b',"token_strs":'
        yield from _json_list(token_ids, lambda token_id: raw(token_id).decode(errors="replace"))
    if request.return_token_bytes:
        yield b',"token_bytes":'
        yield from _json_list(token_ids, lambda token_id: list(raw(token_id)))
    if placed:
        shown = [MediaPlace(type=one.kind, start=one.start, num_tokens=one.num_tokens) for one in placed]
        yield b',"media":' + b"[" + b",".join(map(to_json, shown)) + b"]"
    yield b"}"


class _Written(dict[int, bytes]):
    """What is shown of each token as JSON, written once for all the places where it stands."""

    def __init__(self, shown: Callable[[int], object]) -> None:
        super().__init__()
        self._shown = shown

    def __missing__(self, token_id: int) -> bytes:
        written = self[token_id] = msgspec.json.encode(self._shown(token_id))
        return written


def _json_list(token_ids: "array[int]", shown: Callable[[int], object]) -> Iterator[bytes]:
    """Write an array of what is `shown` of each token."""
    written = _Written(shown)
    opening = b"["
    for start in range(0, len(token_ids), _AT_ONCE):
        yield opening + b",".join(map(written.__getitem__, token_ids[start : start + _AT_ONCE]))
        opening = b","
    yield b"]" if token_ids else b"[]"


def _piece(piece: bytes) -> str | list[int]:
    try:
        return piece.decode()
    except UnicodeDecodeError:
        return list(piece)


def _next_part(pieces: Iterator[bytes]) -> bytes:
    """Join as many pieces as make a write worth its while; nothing at the end."""
    part = b""
    for piece in pieces:
        part += piece
        if len(part) >= _PART_BYTES:
            break
    return part


def _token_ids(model: LoadedModel, request: TokenizeRequest, principal: Principal) -> "array[int]":
    param, text = _source(model, request, principal)
    wants_special = _wants_special(request)
    if wants_special is None:
        wants_special = param != "content"
    parse_special = request.parse_special is not False
    if wants_special:
        return tokenize.text_ids(model, text, param=param, parse_special=parse_special)
    return tokenize.bare_ids(model, text, param=param, parse_special=parse_special)


def _source(model: LoadedModel, request: TokenizeRequest, principal: Principal) -> tuple[str, str]:
    """Return the field that is to be tokenized, and its text."""
    given = {"prompt": request.prompt, "content": request.content}
    named = [(name, text) for name, text in given.items() if text is not None]
    if len(named) + bool(request.messages) != 1:
        raise InvalidValueError("prompt", _ONE_OF_THEM)
    if named:
        if unused := request.model_fields_set & _CONVERSATION:
            raise InvalidValueError(min(unused), "is only allowed with 'messages'")
        return named[0]
    _check_conversation(request)
    return "messages", rendered(request, model, principal)[0]


def _check_conversation(request: TokenizeRequest) -> None:
    if request.prompt is not None or request.content is not None:
        raise InvalidValueError("prompt", _ONE_OF_THEM)
    if request.parse_special is False:
        raise InvalidValueError(
            "parse_special", "cannot be false with 'messages': templates write control tokens"
        )


def _wants_special(request: TokenizeRequest) -> bool | None:
    """Read in either spelling whether special tokens are to be added."""
    ours, theirs = request.add_special_tokens, request.add_special
    if ours is not None and theirs is not None and ours != theirs:
        raise InvalidValueError("add_special", "contradicts 'add_special_tokens'")
    return theirs if ours is None else ours


def _detokenize(model: LoadedModel, request: DetokenizeRequest) -> bytes:
    tokenize.check_ids(model, request.tokens, param="tokens")
    text = _text(model.vocab, request.tokens)
    return to_json(DetokenizeResponse(prompt=text, content=text))


def _text(vocab: TextVocab, token_ids: Sequence[int]) -> str:
    """Write the text of tokens, without the space that some tokenizers put before each text."""
    data = _bytes(vocab, token_ids)
    if data.startswith(b" ") and _puts_space(vocab):
        data = data[1:]
    return data.decode(errors="replace")


def _puts_space(vocab: TextVocab) -> bool:
    return _bytes(vocab, vocab.tokenize("a", add_special=False, parse_special=False)) == b" a"


def _bytes(vocab: TextVocab, token_ids: Sequence[int]) -> bytes:
    data = bytearray()
    for token_id in token_ids:
        data += vocab.raw_bytes(token_id)
        if len(data) > _MAX_TEXT_BYTES:
            raise InvalidValueError("tokens", f"must stand for at most {_MAX_TEXT_BYTES} bytes of text")
    return bytes(data)
