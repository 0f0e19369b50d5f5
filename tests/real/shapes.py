"""Shapes of conversations as OpenAI's SDK and agents send them, each text of them marked."""

from collections.abc import Callable, Sequence

from tests.real.shape_writer import ROLES, AnswerFormat, Body, ShapeWriter, written_by

_WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "DESCRIPTION",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "description": "The city."}},
            "required": ["city"],
        },
    },
}
_BARE: Body = {"type": "function", "function": {"name": "get_time"}}
_UNDESCRIBED: Body = {
    "type": "function",
    "function": {
        "name": "find_rooms",
        "parameters": {
            "type": "object",
            "properties": {
                "place": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                "kind": {"enum": ["single", "double"]},
                "floors": {"type": "array", "items": {"type": "integer"}},
                "unit": {"type": ["string", "null"], "default": None},
                "guest": {"type": "object", "properties": {"name": {"type": "string"}}},
                "anything": {},
            },
        },
    },
}
_BY_REFERENCE: Body = {
    "type": "function",
    "function": {
        "name": "book_room",
        "description": "Book a room.",
        "parameters": {
            "type": "object",
            "$defs": {"Guest": {"type": "object", "properties": {"name": {"type": "string"}}}},
            "properties": {"guest": {"$ref": "#/$defs/Guest"}, "more": {"type": "array"}},
            "additionalProperties": False,
        },
    },
}
_SQL: Body = {"type": "custom", "custom": {"name": "sql", "description": "Run SQL."}}


def _plain(letters: str, name: str = "", **fields: object) -> Callable[[], AnswerFormat]:
    return lambda: written_by(letters).finish(name or " ".join(letters), **fields)


def _parts() -> AnswerFormat:
    return ShapeWriter().say("system", parts=2).say("user", parts=2).finish("text parts")


def _assistant_parts() -> AnswerFormat:
    writer = ShapeWriter().say("user", parts=3).say("assistant", parts=2).say("user")
    return writer.finish("text parts of an assistant")


def _calls(
    name: str,
    *arguments: str,
    before: str = "u",
    after: str = "",
    answers: Sequence[int] = (0,),
    fields: Body | None = None,
    **message: object,
) -> Callable[[], AnswerFormat]:
    def build() -> AnswerFormat:
        writer = written_by(before).call(*arguments, answers=answers, **message)
        for letter in after:
            writer = writer.call(content=None) if letter == "c" else writer.say(ROLES[letter])
        return writer.finish(name, **{"tools": [_WEATHER], **(fields or {})})

    return build


def _result_parts() -> AnswerFormat:
    writer = written_by("uc")
    first, second = writer.mark(), writer.mark()
    writer.chain[-1:] = [first, second]
    writer.messages[-1]["content"] = [{"type": "text", "text": f"Part {mark}."} for mark in (first, second)]
    return writer.finish("a result in text parts", tools=[_WEATHER])


def _empty_result() -> AnswerFormat:
    writer = written_by("uc")
    writer.chain.pop()
    writer.messages[-1]["content"] = ""
    return writer.say("assistant").say("user").finish("an empty result", tools=[_WEATHER])


def _json_result() -> AnswerFormat:
    writer = written_by("uc")
    writer.messages[-1]["content"] = '{"degrees": "' + writer.chain[-1] + '", "more": [1, null]}'
    return writer.finish("a result in JSON", tools=[_WEATHER])


def _older_form() -> AnswerFormat:
    writer = written_by("u")
    said, result = writer.mark(), writer.mark()
    call = {"name": "get_weather", "arguments": '{"city": "' + said + '"}'}
    writer.messages += [
        {"role": "assistant", "content": None, "function_call": call},
        {"role": "function", "name": "get_weather", "content": f"It is {result}."},
    ]
    writer.chain += [said, result]
    return writer.finish("the older form", functions=[_WEATHER["function"]])


def _custom() -> AnswerFormat:
    writer = written_by("u")
    said, result = writer.mark(), writer.mark()
    custom = {"id": "call_1", "type": "custom", "custom": {"name": "sql", "input": f"select {said}"}}
    writer.messages += [
        {"role": "assistant", "content": None, "tool_calls": [custom]},
        {"role": "tool", "tool_call_id": "call_1", "content": result},
    ]
    writer.chain += [said, result]
    return writer.finish("a custom tool's call", tools=[_SQL])


def _refusal() -> AnswerFormat:
    writer = written_by("u")
    said = writer.mark()
    writer.messages.append({"role": "assistant", "content": None, "refusal": f"I will not {said}."})
    writer.chain.append(said)
    return writer.say("user").finish("a refusal")


def _empty_user() -> AnswerFormat:
    writer = written_by("s")
    writer.messages.append({"role": "user", "content": ""})
    return writer.finish("an empty user message")


_TWO = ('{"city": "@"}', '{"city": "@"}')
_NESTED = '{"city": "@", "days": [1, 2.5, null, true, {"é": "a \\"quote\\" \\n"}], "deep": {"a": {"b": []}}}'

_SHAPES: Sequence[Callable[[], AnswerFormat]] = (
    _plain("u"),
    _plain("su"),
    _plain("uau"),
    _plain("suaua"),
    _plain("ssu", "two systems"),
    _plain("sssu"),
    _plain("du", "developer"),
    _plain("duaudu"),
    _plain("sdu"),
    _plain("dsu"),
    _plain("usu"),
    _plain("suasu"),
    _plain("suadu"),
    _plain("suaus"),
    _plain("suas"),
    _plain("uu", "two users"),
    _plain("suuauu"),
    _plain("uaau"),
    _plain("sau"),
    _plain("au"),
    _plain("s"),
    _plain("d"),
    _plain("ua"),
    _plain("ua", "an answer to go on with", continue_final_message=True),
    _plain("suaua", "a later answer to go on with", continue_final_message=True),
    _plain("ua", "no answer to be opened", add_generation_prompt=False),
    _parts,
    _assistant_parts,
    _refusal,
    _empty_user,
    _calls("tool loop, null content", content=None),
    _calls("tool loop, no content"),
    _calls("tool loop, empty content", content=""),
    _calls("tool loop, content beside the call", content="Let me look"),
    _calls("tool loop and answer", content=None, before="su", after="au"),
    _calls("tool loop and user", content=None, after="u"),
    _calls("tool loop, system, user", content=None, after="su"),
    _calls("tool loop and prefill", content=None, after="a", fields={"continue_final_message": True}),
    _calls("two tool loops", content=None, after="c"),
    _calls("two tool loops, two turns", content=None, before="su", after="aucau"),
    _calls("a thought beside a call", content=None, reasoning_content="Hm, the weather."),
    _calls("a thought and content beside a call", content="Let me look", reasoning_content="Hm."),
    _calls("parallel calls", *_TWO, content=None, answers=(0, 1)),
    _calls("parallel calls, swapped results", *_TWO, content=None, answers=(1, 0), after="au"),
    _calls("parallel calls and content", *_TWO, content="Let me look", answers=(0, 1)),
    _calls("a call without arguments", "{}", content=None),
    _calls("a call with nested arguments", _NESTED, content=None),
    _calls("tool loop without tools", content=None, fields={"tools": None}),
    _calls("tool loop without tools, later", content=None, before="su", after="au", fields={"tools": None}),
    _calls("parallel calls without tools", *_TWO, content=None, answers=(0, 1), fields={"tools": None}),
    _calls("tool loop, tool choice none", content=None, after="au", fields={"tool_choice": "none"}),
    _calls("calls without a user", content=None, before="s"),
    _result_parts,
    _empty_result,
    _json_result,
    _older_form,
    _custom,
    _plain("u", "tools", tools=[_WEATHER]),
    _plain("su", "tools and system", tools=[_WEATHER]),
    _plain("du", "tools and developer", tools=[_WEATHER]),
    _plain("ssuu", "tools, two systems, two users", tools=[_WEATHER]),
    _plain("s", "tools and system alone", tools=[_WEATHER]),
    _plain("u", "a tool without description", tools=[_BARE]),
    _plain("u", "a tool's parameters without description", tools=[_UNDESCRIBED]),
    _plain("u", "a tool's parameters by reference", tools=[_BY_REFERENCE]),
    _plain("u", "tools of all kinds", tools=[_WEATHER, _BARE, _UNDESCRIBED, _SQL]),
)

SHAPES = [build() for build in _SHAPES]
PLAIN_SHAPES = [
    next(shape for shape in SHAPES if shape.name == name)
    for name in (
        "two systems",
        "developer",
        "two users",
        "tool loop, null content",
        "a tool without description",
        "text parts",
    )
]
