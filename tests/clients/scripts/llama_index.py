"""LlamaIndex: `OpenAILike` and `OpenAILikeEmbedding`."""

from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.embeddings.openai_like import OpenAILikeEmbedding
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel, Field

from tests.clients.conversation import (
    ANSWER,
    BASE_URL,
    MODEL,
    PERSON,
    QUESTION,
    REPORT,
    WEATHER,
    needs,
    run,
)

model = OpenAILike(
    model=MODEL,
    api_base=BASE_URL,
    api_key="none",
    temperature=0,
    context_window=2048,
    max_retries=0,
    is_chat_model=True,
    is_function_calling_model=True,
)


class Person(BaseModel):
    """A person."""

    name: str = Field(max_length=20)
    age: int = Field(ge=0, le=150)


def get_weather(city: str) -> str:
    """Get the weather of a city."""
    return f"{city}: {REPORT}"


def check_chat() -> None:
    assert ANSWER in model.chat([ChatMessage(role="user", content=QUESTION)]).message.content


def check_streaming() -> None:
    pieces = list(model.stream_chat([ChatMessage(role="user", content=QUESTION)]))
    assert ANSWER in "".join(piece.delta or "" for piece in pieces)


def check_completions() -> None:
    plain = OpenAILike(model=MODEL, api_base=BASE_URL, api_key="none", max_tokens=10, is_chat_model=False)
    assert plain.complete("Once upon a time").text


def check_tools() -> None:
    answer = model.chat_with_tools([FunctionTool.from_defaults(get_weather)], user_msg=WEATHER)
    (call,) = model.get_tool_calls_from_response(answer)
    assert call.tool_kwargs == {"city": "Paris"}


def check_structured_output() -> None:
    answer = model.as_structured_llm(Person).chat([ChatMessage(role="user", content=PERSON)])
    assert isinstance(answer.raw, Person)


def check_embeddings() -> None:
    needs("embeddings")
    embeddings = OpenAILikeEmbedding(model_name=MODEL, api_base=BASE_URL, api_key="none")
    assert len(embeddings.get_text_embedding("the wind")) > 1


if __name__ == "__main__":
    run(globals())
