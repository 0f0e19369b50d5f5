"""What a chat template shows, learnt by trying: of all adaptations, the first that keeps all that is said."""

import dataclasses
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from caravan.chat.rendering.call_text import CallText
from caravan.chat.rendering.template import ChatTemplate
from caravan.chat.rendering.traits import (
    Beside,
    Calls,
    Detail,
    Instructions,
    Joining,
    Lone,
    NoTools,
    NullContent,
    Traits,
)
from caravan.chat.rendering.turns import Call, Conversation, Turn
from caravan.chat.rendering.writer import PromptWriter
from caravan.errors import InvalidRequestError

# Lengths of ids that templates have been seen to demand; nine is Mistral's.
_ID_LENGTHS = (None, 9, 8, 10, 12, 16, 20, 24, 32, 36, 40, 64)
_TOOL_VARIABLES = ("tools", "functions", "xml_tools", "tools_list", "custom_tools")
_THOUGHTS = ("reasoning_content", "thinking", "reasoning", "thought")
_OWN_OR_USER = (Instructions.OWN, Instructions.USER)
_Tool = Mapping[str, Any]
_THOUGHT = "qzthoughtzq"
_UNKNOWN_ROLE = "qzrolezq"
_DESCRIBED: _Tool = {
    "type": "function",
    "function": {
        "name": "qz_tool",
        "description": "qz_purpose",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "string", "description": "Text."}},
            "required": ["a"],
        },
    },
}
_NAMED: _Tool = {
    "type": "function",
    "function": {"name": "qz_tool", "parameters": {"type": "object", "properties": {}}},
}
_UNTYPED: _Tool = {
    "type": "function",
    "function": {
        "name": "qz_tool",
        "parameters": {
            "type": "object",
            "properties": {
                "a": {},
                "b": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                "c": {"enum": ["x", "y"]},
                "d": {"$ref": "#/$defs/D"},
                "e": {"type": "array"},
                "f": {"type": "array", "items": {"type": "object", "properties": {"g": {}}}},
                "h": {"type": ["string", "null"], "default": None},
            },
            "$defs": {"D": {"type": "object", "properties": {"g": {"type": "integer"}}}},
        },
    },
}

_ROLES = {"s": "system", "d": "developer", "u": "user", "a": "assistant", "x": _UNKNOWN_ROLE}


def learnt(template: ChatTemplate, call_text: CallText) -> Traits:
    """The traits of a template: for each, the first choice with which its probes show all they say."""
    return _Learner(template, call_text).learn()


# What Python writes for null or an object, and JSON within JSON: no template means to show them.
_ODDITIES = re.compile(r"None|\{'a': '|\\\"a\\\"")


class _Score(NamedTuple):
    prompt: str
    is_shown: bool
    num_oddities: int


class _Learner:
    def __init__(self, template: ChatTemplate, call_text: CallText) -> None:
        self._template = template
        self._call_text = call_text
        self._traits = Traits()

    def learn(self) -> Traits:
        self._learn_absent_tools()
        self._choose(_each("takes_parts", (False, True)), *_probes("u", "uau"))
        self._choose(_each("system", _OWN_OR_USER), *_probes("su", "suau"))
        self._choose(
            _each("developer", (True, False) if self._knows_developer() else (False,)), *_probes("du")
        )
        self._choose(_each("joins_leading", Joining), *_probes("ssu", "sssu", "sdu", "dsu"))
        self._choose(_each("joins_users", (False, True)), *_probes("uu", "suuauu"))
        self._choose(_each("joins_assistants", (False, True)), *_probes("uaau"))
        self._choose(_each("starts_with_user", (False, True)), *_probes("au", "sau"))
        self._learn_tools()
        self._learn_calls()
        self._learn_later()
        self._learn_lasting_system()
        self._learn_thoughts()
        self._learn_continuation()
        return self._traits

    def _learn_absent_tools(self) -> None:
        asked = self._template.asked
        variable = next((name for name in _TOOL_VARIABLES if name in asked), None)
        as_text = (False,) if variable in (None, "tools") else (False, True)
        dates = (False, True) if "datetime" in asked else (False,)
        options = [
            {"tools_variable": variable, "no_tools": no_tools, "tools_as_text": text, "needs_date": date}
            for date, text, no_tools in itertools.product(dates, as_text, NoTools)
        ]
        self._choose(options, *_probes("u", "su", "au"))

    def _knows_developer(self) -> bool:
        """Whether the template treats the role `developer` differently from a role that nobody knows."""
        if self._traits.system is not Instructions.OWN:
            return False
        known, unknown = (self._score(self._traits, probe) for probe in _probes("du", "xu"))
        return known.prompt != unknown.prompt.replace(_UNKNOWN_ROLE, "developer")

    def _learn_tools(self) -> None:
        if self._traits.tools_variable is None:
            return
        if not any(
            self._score(self._traits, probe).is_shown for probe in _probes("u", "su", tool=_DESCRIBED)
        ):
            self._set(tools_variable=None)
            return
        untold = [probe for tool in (_DESCRIBED, _NAMED, _UNTYPED) for probe in _probes("u", "su", tool=tool)]
        self._choose(_each("detail", Detail), *untold)

    def _learn_calls(self) -> None:
        """First with tools, where the template has a place for them: then it shows the most."""
        tool = None if self._traits.tools_variable is None else _DESCRIBED
        loops = ("uc", "ucau", "uccau")
        forms = itertools.product((None, 9), (False, True), NullContent)
        if not self._choose(_forms(forms), *_probes(*loops, tool=tool)):
            others = itertools.product(_ID_LENGTHS, (False, True), NullContent)
            self._choose(_forms(others), *_probes(*loops, tool=tool))
        if tool is not None:
            self._choose(_shown_calls("calls", "results"), *_probes(*loops, tool=tool))
        self._choose(_shown_calls("calls_without_tools", "results_without_tools"), *_probes(*loops))
        if tool is None:
            self._set(calls=self._traits.calls_without_tools, results=self._traits.results_without_tools)
        self._choose(_each("empty_answer", (None, "", " ")), *_probes("ucu", tool=tool))
        self._choose(_each("parallel_calls", Calls), *_probes("up", "upau", "supu", tool=tool))
        self._choose(_each("beside_calls", Beside), *_probes("ub", "ubau", "uq", tool=tool))

    def _learn_later(self) -> None:
        tool = None if self._traits.tools_variable is None else _DESCRIBED
        after_calls = _probes("ucsu", tool=tool)
        self._choose(
            _each("later_system", _OWN_OR_USER), *_probes("usu", "uasu", "suaus", "suas"), *after_calls
        )
        if self._traits.developer:
            self._choose(_each("later_developer", _OWN_OR_USER), *_probes("udu", "uadu", "duaud", "suad"))
        alone = [*_probes("s", "d", "ss"), *_probes("sc", tool=tool)]
        self._choose(_each("lone", Lone), *alone, *(_probes("s", tool=tool) if tool else ()))

    def _learn_lasting_system(self) -> None:
        """Some templates write the system message into the user's last, if nothing follows that."""
        tool = None if self._traits.tools_variable is None else _DESCRIBED
        last = dataclasses.replace(self._traits, system=Instructions.LAST_USER)
        if self._written(self._traits, "suau") == self._written(last, "suau"):
            systems = _each("system", (self._traits.system, Instructions.LAST_USER))
            self._choose(systems, *_probes("suau", "sua"), *_probes("suc", tool=tool))

    def _learn_thoughts(self) -> None:
        """Find the field in which thoughts are shown. A template need not show them."""
        tool = None if self._traits.tools_variable is None else _DESCRIBED
        thinks = [*_probes("ut", "utau", tool=tool), *_probes("uT", "uTu")]
        for name in _THOUGHTS:
            traits = dataclasses.replace(self._traits, thought=name)
            scores = [self._score(traits, probe) for probe in thinks]
            if all(score.is_shown for score in scores) and any(_THOUGHT in score.prompt for score in scores):
                self._traits = dataclasses.replace(traits, shows_thoughts=True)
                break
        self._choose(_each("thought_beside_content", (True, False)), *_probes("uw", tool=tool))

    def _learn_continuation(self) -> None:
        continued = [self._written(self._traits, letters, continues=True) for letters in ("ua", "suaua")]
        self._set(continues=None not in continued)

    def _written(self, traits: Traits, letters: str, *, continues: bool = False) -> str | None:
        try:
            return self._writer(traits).write(Conversation(_turns_of(letters), continues=continues))
        except InvalidRequestError:
            return None

    def _set(self, **traits: object) -> None:
        self._traits = dataclasses.replace(self._traits, **traits)  # type: ignore[arg-type]

    def _choose(self, options: Iterable[Mapping[str, Any]], *tried: Conversation) -> bool:
        """Keep the first of the options with which most probes show all; whether they all did."""
        chosen, best = self._traits, (-1, 0)
        for option in options:
            traits = dataclasses.replace(self._traits, **option)
            scores = [self._score(traits, probe) for probe in tried]
            score = sum(score.is_shown for score in scores), -sum(score.num_oddities for score in scores)
            if score > best:
                chosen, best = traits, score
            if best == (len(tried), 0):
                break
        self._traits = chosen
        return best[0] == len(tried)

    def _score(self, traits: Traits, probe: Conversation) -> _Score:
        try:
            trial = self._writer(traits).try_out(probe)
        except InvalidRequestError:
            return _Score("", False, 0)
        is_shown = trial.missing is None and all(word in trial.prompt for word in _words_of(probe))
        return _Score(trial.prompt, is_shown, len(_ODDITIES.findall(trial.prompt)))

    def _writer(self, traits: Traits) -> PromptWriter:
        return PromptWriter(self._template, traits, self._call_text)


def _each(name: str, values: Iterable[object]) -> list[Mapping[str, Any]]:
    return [{name: value} for value in values]


def _forms(forms: Iterable[tuple[int | None, bool, NullContent]]) -> Iterator[Mapping[str, Any]]:
    for length, as_text, null in forms:
        yield {"call_id_length": length, "arguments_as_text": as_text, "null_content": null}


def _shown_calls(calls: str, results: str) -> Iterator[Mapping[str, Any]]:
    for form, own in itertools.product((Calls.OWN, Calls.TEXT), (True, False)):
        yield {calls: form, results: own}


def _probes(*letters: str, tool: _Tool | None = None) -> list[Conversation]:
    """Conversations by their letters."""
    return [Conversation(_turns_of(word), None if tool is None else [tool]) for word in letters]


def _turns_of(letters: str) -> list[Turn]:
    """A conversation: `s`, `d`, `u`, `a` are messages with text, `x` is of a role that no template
    knows, and `T` is an answer with a thought.

    `c` is a call and its result, `p` are two at once; `b` and `q` are the same with content, `t` with a
    thought, `w` with both.
    """
    turns: list[Turn] = []
    for letter in letters:
        if letter in _ROLES:
            turns.append(Turn(len(turns), _ROLES[letter], f"x{len(turns)}"))
        elif letter == "T":
            turns.append(Turn(len(turns), "assistant", "x", thought=_THOUGHT))
        else:
            turns += _loop(letter, len(turns))
    return turns


def _loop(letter: str, place: int) -> Iterator[Turn]:
    ids = [f"call_{place:04d}{number:016d}" for number in range(2 if letter in "pq" else 1)]
    yield Turn(
        place,
        "assistant",
        "x" if letter in "bqw" else None,
        tuple(Call(call_id, "qz_tool", {"a": "x"}) for call_id in ids),
        _THOUGHT if letter in "tw" else None,
    )
    for number, call_id in enumerate(ids, 1):
        yield Turn(place + number, "tool", "x", name="qz_tool", call_id=call_id)


def _words_of(conversation: Conversation) -> list[str]:
    """Get the names and descriptions of the tools: a template that shows tools shows these."""
    functions = [tool["function"] for tool in conversation.tools or ()]
    texts = [text for function in functions for text in (function["name"], function.get("description"))]
    return list(filter(None, texts))
