"""The table of what others serve and this server does not."""

import inspect
from collections.abc import Callable

import pytest
from caravan.api.validation.unsupported import NEUTRAL_VALUES, neutral_values
from caravan_schemas.anthropic import CountTokensRequest, MessagesRequest
from caravan_schemas.base import Schema
from caravan_schemas.chat import ChatCompletionRequest
from caravan_schemas.completions import CompletionRequest
from caravan_schemas.embeddings import EmbeddingRequest
from caravan_schemas.responses import ResponseRequest
from openai.resources.chat.completions import Completions as ChatCompletions
from openai.resources.completions import Completions
from openai.resources.responses import Responses

# Arguments of the client's methods that are about the call, not in its body.
CALL = {"self", "extra_headers", "extra_query", "extra_body", "timeout"}


@pytest.mark.parametrize(
    ("method", "schema"),
    [
        (ChatCompletions.create, ChatCompletionRequest),
        (Completions.create, CompletionRequest),
        (Responses.create, ResponseRequest),
    ],
    ids=["chat", "completions", "responses"],
)
def test_every_field_of_openais_client_is_served_or_refused_by_name(
    method: Callable[..., object], schema: type[Schema]
) -> None:
    fields = set(inspect.signature(method).parameters) - CALL
    assert len(fields) > 15
    assert fields <= set(schema.model_fields) | set(neutral_values(schema))


@pytest.mark.parametrize("schema", [ChatCompletionRequest, CompletionRequest, EmbeddingRequest])
def test_nothing_is_both_served_and_refused(schema: type[Schema]) -> None:
    assert not set(schema.model_fields) & set(neutral_values(schema))


@pytest.mark.parametrize("protocol", NEUTRAL_VALUES)
def test_null_asks_for_nothing_and_odd_values_ask_for_something(protocol: str) -> None:
    for name, rule in NEUTRAL_VALUES[protocol].items():
        assert rule(None), name
        assert not rule(2.5), name


def test_a_protocol_has_no_names_that_are_another_ones_alone() -> None:
    tables = [neutral_values(schema) for schema in (ChatCompletionRequest, ResponseRequest, MessagesRequest)]
    assert [*tables, neutral_values(EmbeddingRequest)] == list(NEUTRAL_VALUES.values())
    assert neutral_values(CountTokensRequest) is tables[2]
    for name, holders in (
        ("speed", [False, False, True]),
        ("mcp_servers", [False, False, True]),
        ("modalities", [True, True, False]),
        ("context_management", [False, True, False]),
        ("cache_control", [True, True, True]),
        ("min_new_tokens", [True, True, True]),
    ):
        assert [name in table for table in tables] == holders, name
