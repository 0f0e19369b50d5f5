"""Whole answers as JSON. Log probabilities, of which there may be a million, are written some hundred tokens
at a time: one call into C that writes them all would hold the interpreter's lock for a second.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

import msgspec

from schemas.common import Usage
from schemas.debug import Debug
from server.engine.outputs import TokenLogprob
from server.service.choices import FinishedChoice, Shape
from server.service.logprobs import LogprobWriter
from server.service.wire import to_json

# Up to so many tokens are written as everything else is.
FEW = 256

_Entries = Sequence[TokenLogprob]

# What a choice has where there are none. No text has it: in a JSON string its quotes are escaped.
_NO_CHAT = b'"logprobs":{"content":[]'
_NO_TEXT = b'"logprobs":{"tokens":[],"token_logprobs":[],"top_logprobs":[],"text_offset":[]}'
_NO_PROMPT = b'"prompt_logprobs":[null]'
_COLUMNS = ("tokens", "token_logprobs", "top_logprobs", "text_offset")


def whole_answer(
    shape: Shape, choices: Sequence[FinishedChoice], usage: Usage, debug: Debug | None, *, few: int = FEW
) -> bytes:
    """The JSON of a complete answer."""
    told = [choice.told.logprobs for choice in choices]
    prompts = [choice.prompt_logprobs for choice in choices]
    if sum(map(len, told)) + sum(map(len, prompts)) <= few:
        return to_json(shape.whole(choices, usage, debug))
    bare = [replace(choice, told=replace(choice.told, logprobs=()), prompt_logprobs=()) for choice in choices]
    document = to_json(shape.whole(bare, usage, debug))
    if shape.writer is not None:
        document = _filled(document, _NO_CHAT, _writing(_chat, shape.writer, told, few))
        document = _filled(document, _NO_TEXT, _writing(_text, shape.writer, told, few))
    if shape.prompt_writer is not None:
        document = _filled(document, _NO_PROMPT, _writing(_prompt, shape.prompt_writer, prompts, few))
    return document


def _filled(document: bytes, gap: bytes, fillings: Iterable[bytes]) -> bytes:
    """The document with a filling in the place of each gap."""
    first, *others = document.split(gap)
    # One for each choice, but for a chat's prompt, which is told once. None is written that has no gap.
    filled = [filling + other for other, filling in zip(others, fillings, strict=False)]
    return b"".join((first, *filled))


def _writing(
    write: Callable[[LogprobWriter, Iterator[_Entries]], bytes],
    writer: LogprobWriter,
    choices: Iterable[_Entries],
    size: int,
) -> Iterator[bytes]:
    for entries in choices:
        yield write(writer, (entries[at : at + size] for at in range(0, len(entries), size)))


def _chat(writer: LogprobWriter, slices: Iterator[_Entries]) -> bytes:
    head, tail = b'{"content":[', b'],"refusal":null}'
    written = (to_json(writer.chat(entries))[len(head) : -len(tail)] for entries in slices)
    return b'"logprobs":{"content":[%b]' % b",".join(filter(None, written))


def _text(writer: LogprobWriter, slices: Iterator[_Entries]) -> bytes:
    columns: dict[str, list[bytes]] = {name: [] for name in _COLUMNS}
    for entries in slices:
        written = writer.text(entries)
        for name, column in columns.items():
            column.append(msgspec.json.encode(getattr(written, name))[1:-1])
    lists = (b'"%b":[%b]' % (name.encode(), b",".join(column)) for name, column in columns.items())
    return b'"logprobs":{%b}' % b",".join(lists)


def _prompt(writer: LogprobWriter, slices: Iterator[_Entries]) -> bytes:
    written = (msgspec.json.encode(list(map(writer.ranked, entries)))[1:-1] for entries in slices)
    return b'"prompt_logprobs":[%b]' % b",".join((b"null", *filter(None, written)))
