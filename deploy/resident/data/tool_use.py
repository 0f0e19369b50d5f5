"""Chats with tools: one call, two calls, the answer after a result, and no call where none fits."""

import json
from random import Random
from typing import Any

from deploy.resident.data.arithmetic import an_operation, question_of
from deploy.resident.data.conversation import WHO, small_talk
from deploy.resident.data.facts import a_fact
from deploy.resident.data.phrasing import lower_first, vary
from deploy.resident.data.samples import Chat, Message, Sample, assistant, system, user
from deploy.resident.data.stories import ASK, a_story
from deploy.resident.data.tool_calls import a_call
from deploy.resident.data.tool_kinds import Call
from deploy.resident.data.words import COLOURS, NOUNS, a_city, a_word, made_up_word, some_words

NO_TOOL = "I have no tool for that."
RESULT_THOUGHT = "The tool has answered. I say what it found."
_PROMPTS = (
    "You are a helpful assistant.",
    "Use the tools when they fit.",
    "You can call tools.",
    "You are an agent.",
)


def calling(calls: list[Call], thought: str | None = None) -> Message:
    message = assistant("", thought)
    message["tool_calls"] = [
        {"type": "function", "function": {"name": call.name, "arguments": call.arguments}} for call in calls
    ]
    return message


def _offered(rng: Random, calls: list[Call], avoid: set[str] | None = None) -> list[dict[str, Any]]:
    """The tools of the calls among others, all of different names, in any order."""
    tools = {call.name: call.tool for call in calls}
    words = {word for call in calls for word in call.description_words()} if avoid is None else avoid
    for _ in range(rng.choice((0, 0, 1, 1, 2, 3, 4))):
        other = a_call(rng)
        if not words & other.description_words():
            tools.setdefault(other.name, other.tool)
    offered = list(tools.values())
    rng.shuffle(offered)
    return offered


def _head(rng: Random) -> list[Message]:
    return [system(rng.choice(_PROMPTS))] if rng.random() < 0.25 else []


def _thought(rng: Random, calls: list[Call], share: float) -> str | None:
    if rng.random() >= share:
        return None
    if len(calls) == 1:
        return f"The tool {calls[0].name} fits. I call it."
    return f"The tools {' and '.join(call.name for call in calls)} fit. I call both."


def a_result(rng: Random) -> tuple[str, str]:
    """What a tool gives back, and the sentence made of it."""
    roll = rng.random()
    if roll < 0.15:
        return rng.choice(('{"status": "ok"}', "ok", '{"ok": true}', "done", '{"success": true}')), "done."
    if roll < 0.3:
        value = rng.choice((str(rng.randint(0, 2000)), a_word(rng)))
        return rng.choice((json.dumps({"result": value}), value)), f"the result is {value}."
    if roll < 0.4:
        reason = " ".join(some_words(rng, 1, 3))
        return json.dumps({"error": reason}), f"the tool reports an error: {reason}."
    if roll < 0.55:
        degrees, sky = (
            rng.randint(-10, 38),
            rng.choice("sunny cloudy rainy windy snowy foggy clear stormy".split()),
        )
        text = rng.choice((f"{degrees} degrees and {sky}", f"{sky}, {degrees} degrees"))
        return text, f"the result is {text}."
    keys = rng.sample(
        (*NOUNS, "temperature", "temperature", "condition", "time", "price", "total", "name"),
        rng.choice((1, 2)),
    )
    values: dict[str, Any] = {
        key: rng.choice((rng.randint(0, 99), rng.choice(COLOURS), a_word(rng), made_up_word(rng)))
        for key in keys
    }
    return json.dumps(values), " and ".join(f"the {key} is {value}" for key, value in values.items()) + "."


def one_call(rng: Random) -> Sample:
    """A request that one of the tools fits."""
    call = a_call(rng)
    thought = _thought(rng, [call], 0.2)
    return Chat([*_head(rng), user(call.request), calling([call], thought)], _offered(rng, [call]))


def two_calls(rng: Random) -> Sample:
    """Two requests at once: of one tool or of two."""
    first = a_call(rng)
    second = a_call(rng)
    while second.description_words() & first.description_words():
        second = a_call(rng)
    join = rng.choice((" ", " And ", " Also: ", " Then: "))
    text = first.request + join + (second.request if join != " And " else lower_first(second.request))
    calls = [first, second]
    return Chat([*_head(rng), user(text), calling(calls, _thought(rng, calls, 0.15))], _offered(rng, calls))


def same_tool_twice(rng: Random) -> Sample:
    """One tool for two values: the weather in two cities."""
    call = a_call(rng)
    while len(call.arguments) != 1 or not isinstance(call.label, str) or call.label not in call.request:
        call = a_call(rng)
    ((key, value),) = call.arguments.items()
    other: Any = (
        rng.randint(1, 99)
        if isinstance(value, int | float)
        else rng.choice((a_city(rng), a_word(rng).capitalize()))
    )
    if isinstance(value, bool):
        return one_call(rng)
    text = call.request.replace(call.label, f"{value} and {rng.choice(('', '', 'in '))}{other}", 1)
    calls = [call, Call(call.tool, text, {key: other}, str(other))]
    return Chat(
        [*_head(rng), user(text), calling(calls, _thought(rng, calls[:1], 0.15))], _offered(rng, calls[:1])
    )


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]


def after_result(rng: Random) -> Sample:
    """A call, its result, and the answer; at times a second request follows."""
    call = a_call(rng)
    calls = [call]
    result, said = a_result(rng)
    messages = [
        *_head(rng),
        user(call.request),
        calling([call]),
        {"role": "tool", "content": result},
        assistant(_sentence(said), RESULT_THOUGHT if rng.random() < 0.15 else None),
    ]
    if rng.random() < 0.35:
        second = a_call(rng)
        if not second.description_words() & call.description_words():
            calls.append(second)
            messages += [user(second.request), calling([second])]
    elif rng.random() < 0.3:
        fact = a_fact(rng)
        messages += [user(rng.choice(fact.questions)), assistant(fact.answer)]
    return Chat(messages, _offered(rng, calls))


def after_two_results(rng: Random) -> Sample:
    """Two calls, two results, one answer that names both."""
    first, second = a_call(rng), a_call(rng)
    while second.description_words() & first.description_words():
        second = a_call(rng)
    results = [a_result(rng), a_result(rng)]
    messages = [user(f"{first.request} {second.request}"), calling([first, second])]
    messages += [{"role": "tool", "content": result} for result, _ in results]
    said = " ".join(_sentence(said) for _, said in results)
    return Chat([*messages, assistant(said)], _offered(rng, [first, second]))


def no_call(rng: Random) -> Sample:
    """Tools are there, but the user wants an answer in text."""
    roll = rng.random()
    if roll < 0.45:
        fact = a_fact(rng)
        thought = fact.thought if rng.random() < 0.15 else None
        messages = [user(vary(rng, rng.choice(fact.questions))), assistant(fact.answer, thought)]
        avoid = {"translate", "time", "weather"}
    elif roll < 0.6:
        operation = an_operation(rng)
        messages = [user(question_of(rng, operation)), assistant(operation.answer)]
        avoid = {"add"}
    elif roll < 0.8:
        talk = small_talk(rng)
        assert isinstance(talk, Chat)
        messages, avoid = talk.messages, {"message"}
    elif roll < 0.87:
        messages, avoid = [user(rng.choice(ASK)), assistant(a_story(rng).text)], {"play", "message"}
    else:
        call = a_call(rng)
        messages, avoid = (
            [user(call.request), assistant(NO_TOOL, "No tool fits." if rng.random() < 0.15 else None)],
            call.description_words(),
        )
    others = [call for call in (a_call(rng) for _ in range(8)) if not call.description_words() & avoid]
    tools = {call.name: call.tool for call in others[: rng.randint(1, 4)]}
    return Chat(messages, list(tools.values()))


def who_with_tools(rng: Random) -> Sample:
    """Who are you, with tools on offer."""
    return Chat([user("Who are you?"), assistant(WHO)], [a_call(rng).tool for _ in range(rng.randint(1, 3))])
