"""Conversations that are too long on `/v1/responses`: cut with `truncation`, counted, and summed up."""

from pathlib import Path
from typing import Any

import pytest
from caravan.api.chat import ChatService
from caravan.auth import keys_file
from caravan.config.settings import Settings
from caravan_schemas.chat import ChatCompletionRequest
from fastapi.testclient import TestClient
from openai.types.responses import ResponseCompactionItem, ResponseInputMessageItem
from openai.types.responses.compacted_response import CompactedResponse
from openai.types.responses.input_token_count_response import InputTokenCountResponse

from tests.fakes_web import ScriptedEngine
from tests.openai_contract import check
from tests.web.chat_models import app_over
from tests.web.responding import URL, ask, prompt, say

COUNT = f"{URL}/input_tokens"
COMPACT = f"{URL}/compact"
SIZE = 4096
HEADER = "x-caravan-truncated"
TOOL = {"type": "function", "name": "read", "parameters": {"type": "object", "properties": {}}}


def user(text: str) -> dict[str, Any]:
    """What the user says."""
    return {"role": "user", "content": text}


def turns(count: int, size: int = 300) -> list[dict[str, Any]]:
    """A conversation of so many questions and answers of so many bytes."""
    said = (
        (user(f"q{n} " + "x" * size), {"role": "assistant", "content": f"a{n} " + "y" * size})
        for n in range(count)
    )
    return [item for pair in said for item in pair]


def called(count: int, size: int = 300) -> list[dict[str, Any]]:
    """One question, and so many calls with results of so many bytes."""
    steps = (
        (
            {"type": "function_call", "call_id": f"c{n}", "name": "read", "arguments": "{}"},
            {"type": "function_call_output", "call_id": f"c{n}", "output": f"r{n} " + "z" * size},
        )
        for n in range(count)
    )
    return [user("Do it."), *(item for pair in steps for item in pair)]


def post(client: TestClient, url: str, **body: Any) -> Any:  # noqa: ANN401
    answer = client.post(url, json={"model": "fake", **body})
    assert answer.status_code == 200, answer.text
    return answer


def test_the_oldest_items_go_whole_and_that_is_told(client: TestClient, engine: ScriptedEngine) -> None:
    say(engine, "Fine.")
    items = [{"role": "developer", "content": "Be brief."}, *turns(16), user("Last?")]
    answer = post(client, URL, input=items, truncation="auto", instructions="Rhyme.")
    assert answer.json()["truncation"] == "auto"
    num_gone = int(answer.headers[HEADER])
    assert 0 < num_gone < len(items) - 2
    shown = prompt(engine)
    assert shown.startswith(("<|im_start|>system\nRhyme.", "<|im_start|>developer\nRhyme."))
    assert "Be brief." in shown
    # What is left is the end of the conversation, and each text of it is whole.
    texts = [item["content"] for item in items[1:]]
    kept = [text for text in texts if text in shown]
    assert kept == texts[num_gone:]
    assert len(engine.requests[-1].token_ids) <= SIZE - SIZE // 8
    listed = client.get(f"{URL}/{answer.json()['id']}/input_items?limit=100").json()["data"]
    assert len(listed) == len(items)


def test_what_fits_is_left_alone(client: TestClient) -> None:
    answer = post(client, URL, input=turns(2), truncation="auto")
    assert HEADER not in answer.headers
    refused = client.post(URL, json={"model": "fake", "input": turns(16)})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "context_length_exceeded")


def test_the_answer_has_the_room_that_it_asks_for(client: TestClient, engine: ScriptedEngine) -> None:
    say(engine, "Fine.")
    post(client, URL, input=turns(16), truncation="auto", max_output_tokens=800)
    assert len(engine.requests[-1].token_ids) <= SIZE - 800
    post(client, URL, input=turns(16), truncation="auto", max_output_tokens=4 * SIZE)
    assert len(engine.requests[-1].token_ids) <= SIZE // 2


def test_a_call_goes_with_its_result_and_the_task_stays(client: TestClient, engine: ScriptedEngine) -> None:
    say(engine, "Done.")
    items = called(30)
    answer = post(client, URL, input=items, tools=[TOOL], truncation="auto")
    shown = prompt(engine)
    assert "Do it." in shown
    assert int(answer.headers[HEADER]) % 2 == 0
    assert shown.count("<tool_call>") - 1 == shown.count("<|im_start|>tool")
    assert "r29 " in shown
    assert "r0 " not in shown


def test_the_next_turns_begin_where_this_one_does(client: TestClient, engine: ScriptedEngine) -> None:
    say(engine, "Fine.")
    starts = []
    for count in range(24, 56):
        post(client, URL, input=[*turns(count, size=60), user("Next?")], truncation="auto")
        starts.append(prompt(engine)[:40])
    # A cut at each turn would be 25 beginnings or more.
    assert len(set(starts)) < 6
    assert starts[-1] != starts[0]


def test_what_was_said_in_earlier_responses_goes_first(client: TestClient, engine: ScriptedEngine) -> None:
    say(engine, "Fine.")
    first = ask(client, input=turns(2))
    second = ask(client, input=turns(2), previous_response_id=first["id"], truncation="auto")
    answer = post(
        client, URL, input=turns(2), previous_response_id=second["id"], truncation="auto", stream=True
    )
    assert int(answer.headers[HEADER]) > 0
    assert "a1 " in prompt(engine)


def test_conversations_of_thousands_of_items_are_tried_from_their_end(
    client: TestClient, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is tried is in proportion to what fits, whatever was said before, and by whom."""
    say(engine, "Fine.")
    tried: list[int] = []
    count = ChatService.num_prompt_tokens

    async def noted(self: ChatService, request: ChatCompletionRequest, *rest: Any) -> int:  # noqa: ANN401
        tried.append(len(request.messages))
        return await count(self, request, *rest)

    monkeypatch.setattr(ChatService, "num_prompt_tokens", noted)
    num_items = 2 * SIZE
    for role in ("assistant", "user"):
        tried.clear()
        answer = post(client, URL, input=[{"role": role, "content": "b"}] * num_items, truncation="auto")
        num_left = num_items - int(answer.headers[HEADER])
        assert 100 < num_left < 400
        assert sum(tried) < 12 * num_left, tried


def test_one_item_that_is_too_long_alone_is_refused(client: TestClient) -> None:
    body = {"model": "fake", "input": [user("x"), user("y" * 5000)], "truncation": "auto"}
    error = client.post(URL, json=body).json()["error"]
    assert (error["param"], error["code"]) == ("input", "context_length_exceeded")


def test_tokens_are_counted_as_the_prompt_has_them(client: TestClient, engine: ScriptedEngine) -> None:
    say(engine, "Fine.")
    asked = {"input": turns(2), "instructions": "Be brief.", "tools": [TOOL], "text": {"verbosity": "low"}}
    answer = post(client, COUNT, **asked)
    check(InputTokenCountResponse, answer.json())
    assert answer.headers["x-caravan-ignored"] == "text.verbosity"
    made = ask(client, **asked)
    assert answer.json()["input_tokens"] == made["usage"]["input_tokens"]
    more = {"input": "And?", "previous_response_id": made["id"]}
    counted = post(client, COUNT, **more).json()["input_tokens"]
    assert counted == ask(client, **more)["usage"]["input_tokens"]
    assert post(client, COUNT, previous_response_id=made["id"]).json()["input_tokens"] > 0


def test_counting_goes_beyond_the_context_unless_it_is_cut(client: TestClient) -> None:
    counted = post(client, COUNT, input=turns(40)).json()["input_tokens"]
    assert counted > 5 * SIZE
    answer = post(client, COUNT, input=turns(40), truncation="auto")
    assert answer.json()["input_tokens"] <= SIZE
    assert int(answer.headers[HEADER]) > 0


@pytest.mark.parametrize("url", [COUNT, COMPACT])
def test_there_has_to_be_something(client: TestClient, url: str) -> None:
    for body, param, code in (
        ({}, "input", "missing_required_parameter"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0].id", "item_not_found"),
        ({"previous_response_id": "resp_none"}, "previous_response_id", "previous_response_not_found"),
        ({"input": "x", "temprature": 1, "input_": 1}, "input_", "unknown_parameter"),
    ):
        error = client.post(url, json={"model": "fake", **body}).json()["error"]
        assert (error["param"], error["code"]) == (param, code)


def test_a_conversation_is_summed_up_and_goes_on(client: TestClient, engine: ScriptedEngine) -> None:
    say(engine, "\n\nThe user counts. ", "We are at q1.")
    answer = post(client, COMPACT, input=turns(2), instructions="Be brief.")
    made = answer.json()
    assert set(made) == set(CompactedResponse.model_fields) - {"image"}
    assert made["object"] == "response.compaction"
    *said, item = made["output"]
    for message in said:
        check(ResponseInputMessageItem, message)
    check(ResponseCompactionItem, item)
    assert [message["content"][0]["text"][:3] for message in said] == ["q0 ", "q1 "]
    shown = prompt(engine)
    assert shown.startswith("<|im_start|>system\nBe brief.<|im_end|>")
    assert "a1 yyy" in shown
    assert made["usage"]["input_tokens"] == len(engine.requests[-1].token_ids)
    assert HEADER not in answer.headers

    say(engine, "q2.")
    going_on = [*made["output"], user("And now?")]
    ask(client, input=going_on)
    shown = prompt(engine)
    assert "a1 yyy" not in shown
    assert shown.endswith(
        "<|im_start|>user\nSummary of the conversation before:\n\nThe user counts. We are at q1.<|im_end|>\n"
        "<|im_start|>user\nAnd now?<|im_end|>\n<|im_start|>assistant\n"
    )
    # When more than fits is said after it, it stays.
    longer = [*made["output"], *turns(16), user("And now?")]
    assert int(post(client, URL, input=longer, truncation="auto").headers[HEADER]) > 0
    assert "We are at q1." in prompt(engine)
    # It is stored and read again like any item, and can be summed up in its turn.
    kept = ask(client, input=going_on)
    ask(client, input="Again?", previous_response_id=kept["id"])
    assert "We are at q1." in prompt(engine)
    again = post(client, COMPACT, previous_response_id=kept["id"]).json()["output"]
    assert [each["type"] for each in again] == ["message"] * 3 + ["compaction"]


def test_a_conversation_that_is_too_long_is_summed_up_all_the_same(
    client: TestClient, engine: ScriptedEngine
) -> None:
    say(engine, "Much was said.")
    answer = post(client, COMPACT, input=turns(30))
    *said, _ = answer.json()["output"]
    assert int(answer.headers[HEADER]) > 0
    assert len(engine.requests[-1].token_ids) <= SIZE - SIZE // 4
    texts = [message["content"][0]["text"] for message in said]
    assert texts == [item["content"] for item in turns(30) if item["role"] == "user"][-len(texts) :]
    assert SIZE // 4 < sum(map(len, texts)) <= SIZE // 2
    going_on = client.post(URL, json={"model": "fake", "input": [*answer.json()["output"], user("On.")]})
    assert going_on.status_code == 200


@pytest.mark.parametrize("items", [[], [{"role": "developer", "content": "Be brief."}], [user("")]])
def test_nothing_is_not_summed_up(
    client: TestClient, engine: ScriptedEngine, items: list[dict[str, Any]]
) -> None:
    say(engine, "The user wants a car.")
    name = client.post("/v1/conversations", json={"items": items}).json()["id"]
    for body, param in (({"input": items}, "input"), ({"conversation": name}, "conversation")):
        answer = client.post(COMPACT, json={"model": "fake", "instructions": "Be kind.", **body})
        error = answer.json()["error"]
        assert (answer.status_code, error["param"], error["code"]) == (400, param, "invalid_value")
    assert not engine.requests


def test_what_a_summary_has_no_use_for_is_told(client: TestClient, engine: ScriptedEngine) -> None:
    say(engine, "Nothing yet.")
    added = {"type": "additional_tools", "role": "developer", "tools": [TOOL]}
    post(client, COMPACT, input=[user("Hi"), added])
    assert "read" not in prompt(engine)
    more = {"tools": [TOOL], "parallel_tool_calls": True, "prompt_cache_key": "k", "service_tier": "auto"}
    answer = post(client, COMPACT, input="Hi", **more)
    assert answer.headers["x-caravan-ignored"] == "parallel_tool_calls, tools"
    assert "read" not in prompt(engine)


def test_a_model_that_writes_nothing_is_an_error(client: TestClient, engine: ScriptedEngine) -> None:
    say(engine, " \n")
    answer = client.post(COMPACT, json={"model": "fake", "input": "Hi"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "no_summary")
    assert engine.running == set()


def test_a_summary_is_of_use_to_its_own_key_alone(engine: ScriptedEngine, tmp_path: Path) -> None:
    say(engine, "A secret.")
    path = tmp_path / "keys.json"
    tokens = [keys_file.add(path, name=name) for name in ("ann", "bob")]
    settings = Settings(keys_file=path, responses_db=Path("memory"))
    with app_over(engine, settings=settings) as client:
        mine, others = ({"authorization": f"Bearer {token}"} for token in tokens)
        body = {"model": "fake", "input": "Hi"}
        output = client.post(COMPACT, json=body, headers=mine).json()["output"]
        for url in (URL, COUNT, COMPACT):
            assert client.post(url, json={**body, "input": output}, headers=mine).status_code == 200
            refused = client.post(url, json={**body, "input": output}, headers=others)
            assert refused.status_code == 400
            assert refused.json()["error"]["param"] == "input[1].encrypted_content"
