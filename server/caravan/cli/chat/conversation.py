"""A conversation's state and the words that change it: `/set`, `/system`, `/reset` and the rest."""

import json
from typing import Any

HELP = """\
/set NAME VALUE   a decoding parameter, such as /set temperature 0.2; without VALUE: as the server has it
/system TEXT      what the model is told beforehand; without TEXT: nothing
/show             what is set
/reset            forget what was said
/help             this
/quit             end, as Ctrl-D does
Enter sends, Alt-Enter begins a new line, Ctrl-C stops an answer, Ctrl-D ends."""

# What people know from other programs, besides.
ENDS = ("/quit", "/exit", "/bye")


class Conversation:
    """What was said and what is set."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._system = ""
        self._parameters: dict[str, Any] = {}
        self._turns: list[dict[str, str]] = []

    def body(self, text: str) -> dict[str, Any]:
        """The request that says `text` next."""
        system = [{"role": "system", "content": self._system}] if self._system else []
        said = {"role": "user", "content": text}
        return {**self._parameters, "model": self._model, "messages": [*system, *self._turns, said]}

    def add(self, text: str, answer: str) -> None:
        """Keep a turn, whole or cut short."""
        self._turns += [{"role": "user", "content": text}, {"role": "assistant", "content": answer}]

    def command(self, line: str) -> str:
        """Do what a line that begins with `/` says; returns what to print."""
        word, _, rest = line.partition(" ")
        rest = rest.strip()
        match word:
            case "/set" if rest:
                return self._set(*rest.split(maxsplit=1))
            case "/system":
                self._system = rest
                return "the system message is set" if rest else "there is no system message"
            case "/show":
                return self._show()
            case "/reset":
                self._turns.clear()
                return "forgotten"
            case "/help":
                return HELP
        return f"there is no {word} like this; /help says what there is"

    def _set(self, name: str, value: str | None = None) -> str:
        if value is None:
            self._parameters.pop(name, None)
            return f"{name} is as the server has it"
        try:
            self._parameters[name] = json.loads(value)
        except ValueError:
            self._parameters[name] = value
        return f"{name} = {json.dumps(self._parameters[name])}"

    def _show(self) -> str:
        lines = [
            f"model: {self._model}",
            f"turns: {len(self._turns) // 2}",
            f"system: {self._system or 'none'}",
        ]
        lines += [f"{name} = {json.dumps(value)}" for name, value in self._parameters.items()]
        return "\n".join(lines)
