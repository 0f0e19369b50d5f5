"""Thoughts on `/v1/responses`: given as summaries, shown to the model again or not, and `text.verbosity`."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.fakes_web import ScriptedEngine
from tests.responses_contract import folded
from tests.web.chat_models import HERMES, app_over
from tests.web.responding import URL, ask, prompt, say, stream

IGNORED = "x-caravan-ignored"
THOUGHT = ("<think>\nHm", "m.\n</thi", "nk>\n\n", "Yes.")
PLAIN = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"


def user(text: str) -> dict[str, Any]:
    """What the user says."""
    return {"role": "user", "content": text}


def thought(text: str) -> dict[str, Any]:
    """What the model thought."""
    return {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": text}]}


@pytest.mark.parametrize(
    "reasoning",
    [{"summary": "auto"}, {"summary": "concise"}, {"summary": "detailed"}, {"generate_summary": "auto"}],
    ids=str,
)
def test_a_summary_of_any_kind_is_the_thought(
    client: TestClient, engine: ScriptedEngine, reasoning: dict[str, str]
) -> None:
    say(engine, *THOUGHT)
    whole = ask(client, reasoning=reasoning)
    item = whole["output"][0]
    assert item["summary"] == [{"type": "summary_text", "text": "Hmm."}]
    assert item["content"] == [{"type": "reasoning_text", "text": "Hmm."}]
    events = stream(client, reasoning=reasoning)
    told = [event["delta"] for event in events if event["type"] == "response.reasoning_summary_text.delta"]
    shown = [event["delta"] for event in events if event["type"] == "response.reasoning_text.delta"]
    assert told == shown
    assert "".join(told) == "Hmm."
    assert folded(events) == events[-1]["response"]["output"]


def test_there_is_no_summary_where_none_is_asked_for(client: TestClient, engine: ScriptedEngine) -> None:
    say(engine, *THOUGHT)
    assert ask(client)["output"][0]["summary"] == []
    kinds = {event["type"] for event in stream(client, reasoning={"effort": "low"})}
    assert not [kind for kind in kinds if "summary" in kind]


def test_a_thought_is_read_again_by_its_summary_alone(client: TestClient, engine: ScriptedEngine) -> None:
    """As a client sends it back that reads nothing else."""
    say(engine, *THOUGHT)
    item, message = ask(client, reasoning={"summary": "auto"})["output"]
    del item["content"]
    ask(client, input=[user("One?"), item, message, user("Two?")])
    assert "<think>Hmm.</think>Yes." in prompt(engine)


def test_only_the_thoughts_of_this_turn_are_shown_where_that_is_asked_for(
    client: TestClient, engine: ScriptedEngine
) -> None:
    say(engine, "Fine.")
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    result = {"type": "function_call_output", "call_id": "c", "output": "x"}
    said = [user("One?"), thought("Early."), {"role": "assistant", "content": "1"}]
    items = [*said, user("Two?"), thought("Late."), call, result]
    for context, early in (("current_turn", False), ("all_turns", True), ("auto", True)):
        answer = client.post(URL, json={"model": "fake", "input": items, "reasoning": {"context": context}})
        assert answer.status_code == 200
        assert IGNORED not in answer.headers
        assert ("Early." in prompt(engine)) is early
        assert "Late." in prompt(engine)
    first = ask(client, input=said)
    ask(client, input="Two?", previous_response_id=first["id"], reasoning={"context": "current_turn"})
    assert "Early." not in prompt(engine)


def test_a_template_that_shows_no_thoughts_is_told_of(engine: ScriptedEngine) -> None:
    with app_over(engine, PLAIN) as client:
        body = {"model": "fake", "input": "Hi", "reasoning": {"context": "all_turns"}}
        assert client.post(URL, json=body).headers[IGNORED] == "reasoning.context"


def test_verbosity_is_the_templates_where_it_knows_it(engine: ScriptedEngine) -> None:
    template = HERMES + "{% if verbosity %}Be {{ verbosity }}.{% endif %}"
    for verbosity in ("low", "medium", "high"):
        body = {"model": "fake", "input": "Hi", "text": {"verbosity": verbosity}}
        with app_over(engine, template) as client:
            answer = client.post(URL, json=body)
            assert answer.json()["text"]["verbosity"] == verbosity
            assert prompt(engine).endswith(f"Be {verbosity}.")
            assert IGNORED not in answer.headers
        with app_over(engine) as client:
            told = client.post(URL, json=body).headers.get(IGNORED)
            assert told == (None if verbosity == "medium" else "text.verbosity")
