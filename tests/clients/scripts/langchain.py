"""LangChain: `ChatOpenAI` with tools, structured output and streaming."""

from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
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

model = ChatOpenAI(model=MODEL, base_url=BASE_URL, api_key="none", temperature=0, max_retries=0)


class Person(BaseModel):
    """A person."""

    name: str = Field(max_length=20)
    age: int = Field(ge=0, le=150)


@tool
def get_weather(city: str) -> str:
    """Get the weather of a city."""
    return f"{city}: {REPORT}"


def check_chat() -> None:
    answer = model.invoke(QUESTION)
    assert ANSWER in answer.content
    assert answer.usage_metadata["output_tokens"] > 0


def check_streaming() -> None:
    pieces = list(model.stream(QUESTION))
    assert len(pieces) > 1
    assert ANSWER in "".join(piece.content for piece in pieces)


def check_tools() -> None:
    bound = model.bind_tools([get_weather])
    messages = [HumanMessage(WEATHER)]
    call = bound.invoke(messages)
    assert call.tool_calls[0]["args"] == {"city": "Paris"}
    messages += [call, ToolMessage(REPORT, tool_call_id=call.tool_calls[0]["id"])]
    assert "21" in bound.invoke(messages).content


def check_streamed_tools() -> None:
    first, *others = model.bind_tools([get_weather], tool_choice="get_weather").stream(WEATHER)
    for piece in others:
        first += piece
    assert first.tool_calls[0]["name"] == "get_weather"


def check_structured_output() -> None:
    for method in ("json_schema", "function_calling"):
        found = model.with_structured_output(Person, method=method).invoke(PERSON)
        assert isinstance(found, Person), method


def check_responses() -> None:
    needs("responses")
    other = ChatOpenAI(
        model=MODEL, base_url=BASE_URL, api_key="none", temperature=0, max_retries=0, use_responses_api=True
    )
    assert ANSWER in other.invoke(QUESTION).text


def check_embeddings() -> None:
    needs("embeddings")
    # Lengths are counted with OpenAI's tokenizer otherwise, and its tokens sent.
    embeddings = OpenAIEmbeddings(
        model=MODEL, base_url=BASE_URL, api_key="none", check_embedding_ctx_length=False
    )
    assert len({len(vector) for vector in embeddings.embed_documents(["the wind", "the trees"])}) == 1


if __name__ == "__main__":
    run(globals())
