"""Right answers of real models over HTTP, each way to ask for them."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from openai.types.chat import ChatCompletionMessageParam

from tests.real.conftest import RealServer

CAPITAL: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Name the capital of France."}]
PLACE = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 20}, "country": {"enum": ["France", "Spain"]}},
    "required": ["city", "country"],
    "additionalProperties": False,
}

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": description,
            "parameters": {
                "type": "object",
                "properties": {field: {"type": kind}},
                "required": [field],
                "additionalProperties": False,
            },
        },
    }
    for name, description, field, kind in (
        ("get_weather", "Get the current weather of a city.", "city", "string"),
        ("set_timer", "Start a timer.", "minutes", "integer"),
        ("read_file", "Read a file of the project.", "path", "string"),
    )
]


@pytest.fixture(scope="module", params=["smollm2", "gemma"])
def server(request: pytest.FixtureRequest) -> RealServer:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, RealServer)
    return found


def _complete(server: RealServer, prompt: str, **fields: Any) -> str:  # noqa: ANN401 (as the client has it)
    answer = server.client.completions.create(model=server.model, prompt=prompt, **fields)
    return str(answer.choices[0].text)


def _chat(server: RealServer, **fields: Any) -> Any:  # noqa: ANN401 (as the client's overloads have it)
    asked = {"model": server.model, "messages": CAPITAL, "temperature": 0, "max_tokens": 24, **fields}
    return server.client.chat.completions.create(**asked)


def test_facts(smollm2: RealServer, gemma: RealServer) -> None:
    facts = {
        "The capital of Italy is the city of": "Rome",
        "The opposite of hot is": "cold",
        "Monday, Tuesday, Wednesday,": "Thursday",
        "One, two, three,": "four",
    }
    for server in (smollm2, gemma):
        told = {prompt: _complete(server, prompt, max_tokens=6, temperature=0) for prompt in facts}
        assert all(facts[prompt] in text for prompt, text in told.items()), told


def test_a_chat_has_its_answer_whole_and_streamed(smollm2: RealServer) -> None:
    answer = _chat(smollm2)
    text = answer.choices[0].message.content
    assert "Paris" in text
    assert answer.choices[0].finish_reason == "stop"
    chunks = list(_chat(smollm2, stream=True, stream_options={"include_usage": True}))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1]) == text
    assert chunks[-1].usage.completion_tokens == answer.usage.completion_tokens


def test_questions_asked_together_get_their_own_answers(server: RealServer) -> None:
    facts = {"Italy": "Rome", "France": "Paris", "Japan": "Tokyo", "Germany": "Berlin"}
    prompts = {f"The capital of {country} is the city of": city for country, city in facts.items()}
    with ThreadPoolExecutor(8) as pool:
        told = list(
            pool.map(lambda prompt: _complete(server, prompt, max_tokens=4, temperature=0), [*prompts] * 4)
        )
    assert all(city in text for city, text in zip([*prompts.values()] * 4, told, strict=True)), told
    answer = server.client.completions.create(
        model=server.model, prompt=list(prompts), max_tokens=4, temperature=0
    )
    texts = [choice.text for choice in answer.choices]
    assert all(city in text for city, text in zip(prompts.values(), texts, strict=True)), texts


def test_a_schema_is_kept_to_and_filled_with_what_is_known(server: RealServer) -> None:
    """A base model without a chat template, too."""
    prompt = "The capital of France as JSON:\n"
    text = _complete(
        server, prompt, max_tokens=40, temperature=0, extra_body={"structured_outputs": {"json": PLACE}}
    )
    assert json.loads(text) == {"city": "Paris", "country": "France"}


def test_a_chat_keeps_to_a_schema(smollm2: RealServer) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "place", "schema": PLACE, "strict": True}}
    for seed in range(3):
        answer = _chat(smollm2, response_format=form, temperature=1, seed=seed, max_tokens=60)
        assert answer.choices[0].finish_reason == "stop"
        place = json.loads(answer.choices[0].message.content)
        assert set(place) == {"city", "country"}
        assert place["country"] in {"France", "Spain"}


@pytest.mark.parametrize(
    ("constraint", "expected"),
    [
        ({"grammar": 'root ::= " " ("Rome" | "Paris" | "Madrid")'}, " Paris"),
        ({"guided_regex": " (Rome|Paris|Madrid)"}, " Paris"),
        ({"guided_choice": [" Rome", " Paris", " Madrid"]}, " Paris"),
    ],
)
def test_constraints_leave_the_right_choice(
    server: RealServer, constraint: dict[str, object], expected: str
) -> None:
    fields = {"max_tokens": 10, "temperature": 0, "extra_body": constraint}
    assert _complete(server, "The capital of France is", **fields) == expected


def test_stop_strings_end_a_text_before_them(server: RealServer) -> None:
    fields: dict[str, Any] = {"model": server.model, "max_tokens": 20, "temperature": 0}
    fields |= {"prompt": "1, 2, 3, 4, 5, 6, 7,", "stop": ["never", "9, 1"]}
    [choice] = server.client.completions.create(**fields).choices
    assert choice.text == " 8, "
    assert choice.finish_reason == "stop"
    chunks = list(server.client.completions.create(**fields, stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == choice.text


def test_a_bias_forbids_and_forces(server: RealServer) -> None:
    prompt = "The capital of France is"
    body = {"model": server.model, "content": " Paris"}
    [paris] = server.client.post("/tokenize", cast_to=dict, body=body)["tokens"]
    forbidden = _complete(server, prompt, max_tokens=8, temperature=0, logit_bias={str(paris): -100})
    assert " Paris" not in forbidden
    forced = _complete(server, prompt, max_tokens=3, temperature=0, logit_bias={str(paris): 100})
    assert forced == " Paris" * 3


def test_seeds_repeat_a_text_and_choices_differ(server: RealServer) -> None:
    fields: dict[str, Any] = {
        "model": server.model,
        "prompt": "Once upon a time",
        "max_tokens": 16,
        "temperature": 1.0,
        "n": 3,
    }
    first, again, other = (
        [choice.text for choice in server.client.completions.create(**fields, seed=seed).choices]
        for seed in (7, 7, 8)
    )
    assert len(set(first)) == 3
    assert first[0] == again[0]
    assert first != other


def test_logprobs_of_a_chat_are_probabilities(smollm2: RealServer) -> None:
    answer = _chat(smollm2, logprobs=True, top_logprobs=5)
    entries = answer.choices[0].logprobs.content
    spoken = b"".join(bytes(entry.bytes) for entry in entries if not entry.token.startswith("<|"))
    assert spoken.decode() == answer.choices[0].message.content
    for entry in entries:
        assert entry.logprob == entry.top_logprobs[0].logprob


def test_a_named_tool_is_called_with_arguments_of_its_schema(smollm2: RealServer) -> None:
    """The model's template has no place for tools, so the server shows them in a message."""
    tool = {"type": "function", "function": {"name": "find_place", "parameters": PLACE, "strict": True}}
    choice = {"type": "function", "function": {"name": "find_place"}}
    answer = _chat(smollm2, tools=[tool], tool_choice=choice, max_tokens=60)
    [call] = answer.choices[0].message.tool_calls
    assert call.function.name == "find_place"
    assert set(json.loads(call.function.arguments)) == {"city", "country"}


def test_a_model_that_knows_no_tools_chooses_between_calls_and_text(smollm2: RealServer) -> None:
    assert "by a general prompt, called as 'generic'" in smollm2.output
    asked: list[dict[str, Any]] = [{"role": "user", "content": "What is the weather in Paris?"}]
    fields = {"tools": TOOLS, "parallel_tool_calls": False, "max_tokens": 40}
    whole = _chat(smollm2, messages=asked, **fields).choices[0]
    [call] = whole.message.tool_calls
    assert (call.function.name, json.loads(call.function.arguments)) == ("get_weather", {"city": "Paris"})
    assert (whole.finish_reason, whole.message.content) == ("tool_calls", None)
    deltas = [chunk.choices[0].delta for chunk in _chat(smollm2, messages=asked, stream=True, **fields)]
    pieces = [part.function.arguments for delta in deltas for part in delta.tool_calls or ()]
    assert "".join(pieces) == call.function.arguments
    assert not any(delta.content for delta in deltas)
    asked += [whole.message, {"role": "tool", "tool_call_id": call.id, "content": "21 degrees and sunny"}]
    last = _chat(smollm2, messages=asked, **fields).choices[0].message
    assert last.tool_calls or (last.content and "tool_calls" not in last.content)
    simple = [{"role": "user", "content": "What is the capital of France?"}]
    plain = _chat(smollm2, messages=simple, **fields).choices[0].message
    assert plain.tool_calls is None
    assert "Paris" in plain.content


def test_responses_are_answered_streamed_and_gone_on_with(smollm2: RealServer) -> None:
    options: dict[str, Any] = {"model": smollm2.model, "temperature": 0, "max_output_tokens": 24}
    first = smollm2.client.responses.create(input="Name the capital of France.", **options)
    assert "Paris" in first.output_text
    assert first.status == "completed"
    events = list(
        smollm2.client.responses.create(input="Name the capital of France.", stream=True, **options)
    )
    assert events[-1].type == "response.completed"
    assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == first.output_text
    second = smollm2.client.responses.create(
        input="Which country is that city in?", previous_response_id=first.id, **options
    )
    assert "France" in second.output_text
    assert second.usage is not None
    assert second.usage.input_tokens_details.cached_tokens > 0
