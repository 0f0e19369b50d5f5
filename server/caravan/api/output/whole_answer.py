"""Whole answers as JSON. Log probabilities, of which there may be a million, are written some hundred tokens
at a time: one call into C that writes them all would hold the interpreter's lock for a second.
"""

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import msgspec
from caravan_schemas.common import Debug, Usage

from caravan.api.output.answer_format import FinishedChoice
from caravan.api.output.chat_format import ChatFormat
from caravan.api.output.completion_format import CompletionFormat
from caravan.api.output.encoding import to_json
from caravan.api.output.logprobs import LogprobWriter
from caravan.engine.outputs import TokenLogprob

# Up to so many tokens are written as everything else is.
FEW = 256

_Entries = Sequence[TokenLogprob]

# What a choice has where there are none. No text has it: in a JSON string its quotes are escaped.
_NO_CHAT = b'"logprobs":{"content":[]'
_NO_TEXT = b'"logprobs":{"tokens":[],"token_logprobs":[],"top_logprobs":[],"text_offset":[]}'
_NO_PROMPT = b'"prompt_logprobs":[null]'
_COLUMNS = ("tokens", "token_logprobs", "top_logprobs", "text_offset")


def whole_answer(
    format_: ChatFormat | CompletionFormat,
    choices: Sequence[FinishedChoice],
    usage: Usage,
    debug: Debug | None,
    *,
    few: int = FEW,
) -> list[bytes]:
    """Write a complete answer as JSON, in pieces: to join tens of megabytes would hold the lock, too."""
    details = [choice.details.logprobs for choice in choices]
    prompts = [choice.prompt_logprobs for choice in choices]
    if sum(map(len, details)) + sum(map(len, prompts)) <= few:
        return [to_json(format_.whole(choices, usage, debug))]
    bare = [
        replace(choice, details=replace(choice.details, logprobs=()), prompt_logprobs=())
        for choice in choices
    ]
    document = to_json(format_.whole(bare, usage, debug))
    fillings: dict[bytes, Iterator[Iterable[bytes]]] = {}
    if format_.envelope.writer is not None:
        fillings[_NO_CHAT] = _writing(_chat, format_.envelope.writer, details, few)
        fillings[_NO_TEXT] = _writing(_text, format_.envelope.writer, details, few)
    if format_.envelope.prompt_writer is not None:
        fillings[_NO_PROMPT] = _writing(_prompt, format_.envelope.prompt_writer, prompts, few)
    return list(_filled(document, fillings))


def _filled(document: bytes, fillings: Mapping[bytes, Iterator[Iterable[bytes]]]) -> Iterator[bytes]:
    """Fill each gap of the document with the next filling of its kind.

    There is one for each choice, but for a chat's prompt, which is told once.
    """
    if not fillings:
        yield document
        return
    for part in re.split(b"(%b)" % b"|".join(map(re.escape, fillings)), document):
        if part in fillings:
            yield from next(fillings[part])
        else:
            yield part


def _writing(
    write: Callable[[LogprobWriter, Iterator[_Entries]], Iterable[bytes]],
    writer: LogprobWriter,
    choices: Iterable[_Entries],
    size: int,
) -> Iterator[Iterable[bytes]]:
    for entries in choices:
        yield write(writer, (entries[at : at + size] for at in range(0, len(entries), size)))


def _chat(writer: LogprobWriter, slices: Iterator[_Entries]) -> Iterator[bytes]:
    head, tail = b'{"content":[', b'],"refusal":null}'
    written = (to_json(writer.chat(entries))[len(head) : -len(tail)] for entries in slices)
    yield b'"logprobs":{"content":['
    yield from _listed(written)


def _text(writer: LogprobWriter, slices: Iterator[_Entries]) -> Iterator[bytes]:
    columns: dict[str, list[bytes]] = {name: [] for name in _COLUMNS}
    for entries in slices:
        written = writer.text(entries)
        for name, column in columns.items():
            column.append(msgspec.json.encode(getattr(written, name))[1:-1])
    yield b'"logprobs":'
    for place, (name, column) in enumerate(columns.items()):
        yield b'%b"%b":[' % (b"," if place else b"{", name.encode())
        yield from _listed(column)
    yield b"}"


def _prompt(writer: LogprobWriter, slices: Iterator[_Entries]) -> Iterator[bytes]:
    yield b'"prompt_logprobs":['
    written = (msgspec.json.encode(list(map(writer.ranked, entries)))[1:-1] for entries in slices)
    yield from _listed(itertools.chain((b"null",), written))


def _listed(written: Iterable[bytes]) -> Iterator[bytes]:
    """Write the rest of an array, whose parts may be empty."""
    comma = b""
    for part in filter(None, written):
        yield comma + part
        comma = b","
    yield b"]"
