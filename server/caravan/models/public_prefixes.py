"""Texts whose memory all keys share, and the tokens by which prompts of a model begin with them."""

import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

from caravan.chat.rendering.prompt_template import PromptTemplate
from caravan.chat.rendering.turns import Conversation, Turn
from caravan.errors import InvalidRequestError
from caravan.models.loaded_model import TextVocab

# What may follow a text in a prompt. The last tokens of a text depend on it.
_SEQUELS = ("", " ", "\n", "\n\n", ".", ",", "a", " a", "1")


class PublicPrefixError(Exception):
    """The texts cannot be read; the message is one line."""


def read_texts(folder: Path | None) -> tuple[str, ...]:
    """A text of each file of the folder, without white space around it. Raises PublicPrefixError."""
    if folder is None:
        return ()
    if not folder.is_dir():
        raise PublicPrefixError(f"--public-prefixes: no such folder: {folder}")
    try:
        # Kubernetes mounts files beside hidden folders of theirs.
        files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    except OSError as error:
        raise PublicPrefixError(f"--public-prefixes: {folder}: {error.strerror}") from error
    texts = []
    for path in files:
        try:
            texts.append(path.read_text(encoding="utf-8").strip())
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
            raise PublicPrefixError(f"--public-prefixes: {path}: {reason}") from error
        if not texts[-1]:
            raise PublicPrefixError(f"--public-prefixes: {path}: it has no text")
    return tuple(texts)


def prefix_ids(
    texts: Sequence[str], vocab: TextVocab, template: PromptTemplate, bos_text: str
) -> tuple[tuple[int, ...], ...]:
    """By which tokens prompts begin with these texts: as a raw prompt, and as a first message.

    Left out at the end are tokens that may differ with what follows the text.
    """
    found: dict[tuple[int, ...], None] = {}
    for text in texts:
        for beginning in _beginnings(text, template):
            if token_ids := _lasting_ids(beginning, vocab, bos_text):
                found[token_ids] = None
    return tuple(found)


def _beginnings(text: str, template: PromptTemplate) -> Iterator[str]:
    """The text, and what prompts with it in their first message begin with, up to the text's end."""
    yield text
    mark = f"<{uuid.uuid4().hex}>"
    for role in ("system", "developer", "user"):
        turns = [Turn(0, role, text + mark)]
        if role != "user":
            turns.append(Turn(1, "user", "x"))
        try:
            prompt = template.write(Conversation(turns))
        except InvalidRequestError:
            continue
        if prompt.count(mark) == 1:
            yield prompt[: prompt.index(mark)]


def _lasting_ids(beginning: str, vocab: TextVocab, bos_text: str) -> tuple[int, ...]:
    """The tokens that `beginning` has whatever follows it."""
    add_special = not (bos_text and beginning.startswith(bos_text))
    try:
        readings = [
            vocab.tokenize(beginning + sequel, add_special=add_special, parse_special=True)
            for sequel in _SEQUELS
        ]
    except ValueError:
        return ()
    shortest = min(map(len, readings))
    parting = (i for i in range(shortest) if len({reading[i] for reading in readings}) > 1)
    return tuple(readings[0][: next(parting, shortest)])
