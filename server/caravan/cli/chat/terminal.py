"""Reads what a person types and shows what the model says, as it comes."""

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from caravan.cli.chat.client import ChatClient, Piece
from caravan.cli.chat.conversation import ENDS, Conversation
from caravan.cli.errors import CommandError
from caravan.runtime.plain_text import plain_text

_DIM, _PLAIN = "\x1b[2m", "\x1b[0m"


def talk(client: ChatClient, conversation: Conversation, history: Path) -> None:
    """One turn after the other, until there is no more input or it says so."""
    for text in _typed(history):
        if text in ENDS:
            return
        if text.startswith("/"):
            print(conversation.command(text))
        elif text:
            _turn(client, conversation, text)


def _turn(client: ChatClient, conversation: Conversation, text: str) -> None:
    shown = _Shown()
    try:
        # Closed at once, whatever happens, so that the server stops computing.
        with _interrupts() as interrupt, contextlib.closing(client.answer(conversation.body(text))) as pieces:
            for piece in pieces:
                shown.add(piece)
                if interrupt.is_set():
                    raise KeyboardInterrupt
    except KeyboardInterrupt:
        shown.note("stopped")
    except CommandError as error:
        shown.note(str(error))
        return
    shown.end()
    conversation.add(text, shown.text)


@contextlib.contextmanager
def _interrupts() -> Iterator[threading.Event]:
    """Ctrl-C raises KeyboardInterrupt and sets the event: Python loses exceptions raised in a finalizer."""
    event = threading.Event()

    def interrupt(_number: int, _frame: object) -> None:
        event.set()
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGINT, interrupt)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, previous)


class _Shown:
    """An answer on the screen; reasoning is dim, and so are remarks."""

    def __init__(self) -> None:
        self.text = ""
        self._is_dim = False
        self._is_terminal = sys.stdout.isatty()
        self._num_tokens: int | None = None
        self._first = 0.0

    def add(self, piece: Piece) -> None:
        """Print what came."""
        if piece.num_tokens is not None:
            self._num_tokens = piece.num_tokens
        self._first = self._first or time.monotonic()
        self._dim(bool(piece.reasoning), piece.reasoning or piece.text)
        self.text += piece.text
        # A model may write anything, and a terminal obeys some of it.
        self._print(plain_text(piece.reasoning or piece.text))

    def end(self) -> None:
        """Close the answer, with its speed where somebody looks."""
        seconds = time.monotonic() - self._first
        if self._is_terminal and self._num_tokens and self._num_tokens > 1 and seconds > 0:
            self.note(f"{self._num_tokens} tokens, {(self._num_tokens - 1) / seconds:.0f} a second")
        else:
            self._print("\n")

    def note(self, remark: str) -> None:
        """A remark on a line of its own."""
        self._dim(False, remark)
        self._print(f"\n{_DIM}({remark}){_PLAIN}\n" if self._is_terminal else f"\n({remark})\n")

    def _dim(self, wanted: bool, text: str) -> None:
        if not text or wanted == self._is_dim:
            return
        self._is_dim = wanted
        if self._is_terminal:
            self._print(_DIM if wanted else f"{_PLAIN}\n\n")
        elif not wanted:
            self._print("\n")

    def _print(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()


def _typed(history: Path) -> Iterator[str]:
    if not sys.stdin.isatty():
        yield from (line.strip() for line in sys.stdin)
        return
    ask = _asking(history)
    while True:
        try:
            yield ask().strip()
        except KeyboardInterrupt:
            continue
        except EOFError:
            return


def _asking(history: Path) -> Callable[[], str]:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.history import FileHistory
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

    history.parent.mkdir(parents=True, exist_ok=True)
    keys = KeyBindings()

    @keys.add("enter")
    def _send(event: KeyPressEvent) -> None:
        event.current_buffer.validate_and_handle()

    @keys.add("escape", "enter")
    @keys.add("c-j")
    def _new_line(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    session: PromptSession[str] = PromptSession(
        history=FileHistory(str(history)), key_bindings=keys, multiline=True, prompt_continuation="... "
    )
    return lambda: session.prompt("> ")
