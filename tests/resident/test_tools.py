"""Tools and thoughts of the model that ships, through the official client and its helpers."""

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from llguidance import LLMatcher, LLTokenizer
from openai import OpenAI, pydantic_function_tool
from openai.types.chat import ChatCompletion, ChatCompletionMessage
from pydantic import BaseModel

from tests.custom_grammars import APPLY_PATCH, ARITHMETIC, LINES
from tests.faults.process import ServerProcess

MODEL = "caravan-resident"
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = {
    "type": "function",
    "function": {"name": "get_weather", "description": "Get the weather of a city.", "parameters": CITY},
}
TIME = {
    "type": "function",
    "function": {"name": "get_time", "description": "Get the time in a city.", "parameters": CITY},
}
QUESTION = "What is the weather in Paris?"
TWO = "Weather in Berlin and Rome?"
THINK: dict[str, object] = {"chat_template_kwargs": {"enable_thinking": True}}


class GetWeather(BaseModel):
    """Get the weather of a city."""

    city: str


Ask = Callable[..., ChatCompletion]


@pytest.fixture(scope="module")
def client(live_server: ServerProcess) -> Iterator[OpenAI]:
    with OpenAI(base_url=live_server.url, api_key="none", max_retries=0) as made:
        yield made


@pytest.fixture
def ask(client: OpenAI) -> Ask:
    def ask(question: str | list[Any], **options: Any) -> ChatCompletion:  # noqa: ANN401
        """A greedy answer."""
        messages = [{"role": "user", "content": question}] if isinstance(question, str) else question
        request = {"model": MODEL, "messages": messages, "temperature": 0, "max_tokens": 100, **options}
        answer: ChatCompletion = client.chat.completions.create(**request)
        return answer

    return ask


def calls(message: ChatCompletionMessage) -> list[tuple[str, object]]:
    """Name and arguments of each call."""
    found = message.tool_calls or []
    assert len({call.id for call in found}) == len(found)
    return [(c.function.name, json.loads(c.function.arguments)) for c in found if c.type == "function"]


def collected(stream: Iterable[Any]) -> dict[str, Any]:
    """Content, thought and calls of a stream of one choice."""
    said: dict[str, Any] = {"content": "", "thought": "", "calls": [], "reason": None}
    for chunk in stream:
        delta = chunk.choices[0].delta
        said["content"] += delta.content or ""
        said["thought"] += getattr(delta, "reasoning_content", None) or ""
        for call in delta.tool_calls or ():
            if call.id:
                said["calls"].append([call.function.name, ""])
            said["calls"][call.index][1] += call.function.arguments
        said["reason"] = chunk.choices[0].finish_reason
    return said


def test_one_call(ask: Ask) -> None:
    choice = ask(QUESTION, tools=[TIME, WEATHER]).choices[0]
    assert calls(choice.message) == [("get_weather", {"city": "Paris"})]
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)


def test_no_call_where_none_fits(ask: Ask) -> None:
    choice = ask("What is the capital of France?", tools=[TIME, WEATHER]).choices[0]
    assert (choice.finish_reason, choice.message.tool_calls) == ("stop", None)
    assert "Paris" in (choice.message.content or "")


def test_two_calls_at_once_unless_refused(ask: Ask) -> None:
    message = ask(TWO, tools=[WEATHER]).choices[0].message
    assert calls(message) == [("get_weather", {"city": "Berlin"}), ("get_weather", {"city": "Rome"})]
    choice = ask(TWO, tools=[WEATHER], parallel_tool_calls=False).choices[0]
    assert calls(choice.message) == [("get_weather", {"city": "Berlin"})]
    assert choice.finish_reason == "tool_calls"


def test_choices_are_kept_to(ask: Ask) -> None:
    tools = [TIME, WEATHER]
    named = {"type": "function", "function": {"name": "get_time"}}
    forced = ask(QUESTION, tools=tools, tool_choice=named).choices[0]
    assert calls(forced.message) == [("get_time", {"city": "Paris"})]
    assert forced.finish_reason == "stop"
    required = ask("What is the capital of France?", tools=tools, tool_choice="required").choices[0]
    assert calls(required.message)
    assert required.finish_reason == "tool_calls"
    allowed = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [named]}}
    assert calls(ask(QUESTION, tools=tools, tool_choice=allowed).choices[0].message)[0][0] == "get_time"
    none = ask(QUESTION, tools=tools, tool_choice="none").choices[0]
    assert none.message.tool_calls is None
    assert none.message.content


@pytest.mark.parametrize("question", [QUESTION, TWO, "What is the capital of France?"])
@pytest.mark.parametrize("options", [{}, {"extra_body": THINK}, {"tool_choice": "required"}])
def test_a_stream_says_what_the_plain_answer_says(ask: Ask, question: str, options: dict[str, Any]) -> None:
    choice = ask(question, tools=[WEATHER], **options).choices[0]
    stream = collected(ask(question, tools=[WEATHER], stream=True, **options))
    assert [(name, json.loads(text)) for name, text in stream["calls"]] == calls(choice.message)
    assert stream["content"] == (choice.message.content or "")
    assert stream["thought"] == getattr(choice.message, "reasoning_content", "")
    assert stream["reason"] == choice.finish_reason


@pytest.mark.parametrize("temperature", [1.5])
def test_arguments_keep_to_their_schemas_at_any_temperature(ask: Ask, temperature: float) -> None:
    schema = {
        "type": "object",
        "properties": {
            "city": {"enum": ["Oslo", "Lima"]},
            "days": {"type": "integer", "minimum": 1, "maximum": 9},
        },
        "required": ["city", "days"],
        "additionalProperties": False,
    }
    tool = {"type": "function", "function": {"name": "forecast", "parameters": schema, "strict": True}}
    for choice in ("required", {"type": "function", "function": {"name": "forecast"}}):
        answer = ask(QUESTION, tools=[tool], tool_choice=choice, temperature=temperature, n=4, seed=1)
        for made in answer.choices:
            for name, arguments in calls(made.message):
                assert name == "forecast"
                assert isinstance(arguments, dict)
                assert arguments["city"] in ("Oslo", "Lima")
                assert 1 <= arguments["days"] <= 9


def test_a_full_loop_with_a_result(ask: Ask) -> None:
    messages: list[Any] = [{"role": "user", "content": QUESTION}]
    message = ask(messages, tools=[WEATHER]).choices[0].message
    assert message.tool_calls
    result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "21 degrees and sunny"}
    answer = ask([*messages, message, result], tools=[WEATHER]).choices[0]
    assert "21 degrees and sunny" in (answer.message.content or "")
    assert answer.finish_reason == "stop"


def test_functions_of_the_older_form(ask: Ask) -> None:
    messages: list[Any] = [{"role": "user", "content": QUESTION}]
    choice = ask(messages, functions=[WEATHER["function"]]).choices[0]
    call = choice.message.function_call
    assert call is not None
    assert (call.name, json.loads(call.arguments)) == ("get_weather", {"city": "Paris"})
    assert choice.finish_reason == "function_call"
    result = {"role": "function", "name": "get_weather", "content": "21 degrees and sunny"}
    answer = ask([*messages, choice.message, result], functions=[WEATHER["function"]]).choices[0]
    assert "21 degrees and sunny" in (answer.message.content or "")


def test_the_clients_helpers_parse_calls(client: OpenAI) -> None:
    request: dict[str, Any] = {
        "model": MODEL,
        "messages": [{"role": "user", "content": QUESTION}],
        "tools": [pydantic_function_tool(GetWeather, name="get_weather")],
        "temperature": 0,
    }
    parsed = client.chat.completions.parse(**request).choices[0].message
    with client.chat.completions.stream(**request) as stream:
        kinds = {event.type for event in stream}
        streamed = stream.get_final_completion().choices[0].message
    assert "tool_calls.function.arguments.done" in kinds
    for message in (parsed, streamed):
        assert message.tool_calls
        assert message.tool_calls[0].function.parsed_arguments == GetWeather(city="Paris")
    # What the helpers return can be sent back as it is.
    assert streamed.tool_calls
    result = {"role": "tool", "tool_call_id": streamed.tool_calls[0].id, "content": "21 degrees and sunny"}
    request["messages"] = [*request["messages"], streamed, result]
    answer = client.chat.completions.create(**request).choices[0].message
    assert "21 degrees and sunny" in (answer.content or "")


def test_a_custom_tool_gets_a_text(ask: Ask) -> None:
    grammar = {"type": "grammar", "grammar": {"syntax": "regex", "definition": "select [a-z]{1,9}"}}
    tool = {"type": "custom", "custom": {"name": "sql", "description": "Run a query.", "format": grammar}}
    message = ask("Run the query get all users.", tools=[tool], tool_choice="required").choices[0].message
    assert message.tool_calls
    call = message.tool_calls[0]
    assert call.type == "custom"
    assert call.custom.name == "sql"
    assert call.custom.input.startswith("select ")


def test_a_format_beside_tools_binds_the_answer(ask: Ask) -> None:
    schema = {
        "type": "object",
        "properties": {"capital": {"enum": ["Paris", "Rome"]}},
        "required": ["capital"],
        "additionalProperties": False,
    }
    bound = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    assert calls(ask(QUESTION, tools=[WEATHER], response_format=bound).choices[0].message)
    for seed in range(4):
        message = (
            ask("Hello!", tools=[WEATHER], response_format=bound, temperature=1.5, seed=seed)
            .choices[0]
            .message
        )
        if not message.tool_calls:
            assert json.loads(message.content or "")["capital"] in ("Paris", "Rome")


def test_a_thought_is_split_off_and_counted(ask: Ask) -> None:
    question = "What is the capital of France?"
    plain = ask(question)
    for options in ({"extra_body": THINK}, {"reasoning_effort": "high"}):
        thoughtful = ask(question, **options)
        message = thoughtful.choices[0].message
        assert "Paris" in (message.content or "")
        assert "<think>" not in (message.content or "")
        assert "France" in getattr(message, "reasoning_content", "")
        assert thoughtful.usage is not None
        assert thoughtful.usage.completion_tokens_details is not None
        assert (
            5
            < (thoughtful.usage.completion_tokens_details.reasoning_tokens or 0)
            < thoughtful.usage.completion_tokens
        )
    assert not hasattr(plain.choices[0].message, "reasoning_content")


@pytest.mark.parametrize("budget", [0, 2, 6])
def test_a_budget_ends_the_thought(ask: Ask, budget: int) -> None:
    answer = ask("What is the capital of France?", extra_body={**THINK, "thinking_budget_tokens": budget})
    assert answer.choices[0].message.content == "The capital of France is Paris."
    assert answer.usage is not None
    assert answer.usage.completion_tokens_details is not None
    # The markers, with the line breaks around the second, count, too.
    assert (answer.usage.completion_tokens_details.reasoning_tokens or 0) <= budget + 4


def test_a_constraint_binds_what_follows_the_thought(ask: Ask) -> None:
    options = {"structured_outputs": {"choice": ["Paris", "Rome"]}, **THINK}
    message = ask("What is the capital of France?", extra_body=options).choices[0].message
    assert message.content in ("Paris", "Rome")
    assert getattr(message, "reasoning_content", "")


def test_a_thought_may_precede_a_required_call(ask: Ask) -> None:
    message = ask(QUESTION, tools=[WEATHER], tool_choice="required", extra_body=THINK).choices[0].message
    assert calls(message) == [("get_weather", {"city": "Paris"})]
    assert getattr(message, "reasoning_content", "")


def test_an_answer_is_continued(ask: Ask) -> None:
    messages = [
        {"role": "user", "content": "What is the capital of France?"},
        {"role": "assistant", "content": "The capital of"},
    ]
    answer = ask(messages, extra_body={"continue_final_message": True}).choices[0].message
    assert answer.content == " France is Paris."


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("grammar", [APPLY_PATCH, ARITHMETIC, LINES])
def test_the_input_of_a_custom_tool_keeps_to_its_grammar(
    ask: Ask, client: OpenAI, grammar: str, seed: int
) -> None:
    described = {"name": "run", "description": "Work something out."}
    definition = {"syntax": "lark", "definition": grammar}
    hot: dict[str, Any] = {"temperature": 1.5, "tool_choice": "required"}
    form = {"type": "grammar", "grammar": definition}
    tool = {"type": "custom", "custom": {**described, "format": form}}
    choice = ask("Work out 1 + 2.", tools=[tool], seed=seed, max_tokens=200, **hot).choices[0]
    assert choice.message.tool_calls
    for call in choice.message.tool_calls:
        assert call.type == "custom"
        judge(grammar, call.custom.input, is_whole=choice.finish_reason == "tool_calls")
    flat: Any = {"type": "custom", **described, "format": {"type": "grammar", **definition}}
    answer = client.responses.create(
        model=MODEL, input="Work out 1 + 2.", tools=[flat], max_output_tokens=200, **hot
    )
    (first, *_) = [item for item in answer.output if item.type == "custom_tool_call"]
    judge(grammar, first.input, is_whole=answer.status == "completed")


def judge(grammar: str, text: str, *, is_whole: bool) -> None:
    """Whether a text, or the beginning of one, is the grammar's, in llguidance's own eyes."""
    matcher = LLMatcher(LLTokenizer("byte"), grammar, log_level=0)
    data = list(text.rstrip().encode() if "%ignore" in grammar else text.encode())
    assert matcher.try_consume_tokens(data) == len(data), text
    assert matcher.is_accepting() or not is_whole, text
