"""Images by Anthropic's own client for Python, to a model that sees."""

from typing import Any

import anthropic

from tests.clients.conversation import BASE_URL, MODEL, run
from tests.clients.picture import BASE64

client: Any = anthropic.Anthropic(base_url=BASE_URL.removesuffix("/v1"), api_key="none", max_retries=0)
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": BASE64}}
SEEN: Any = {"model": MODEL, "max_tokens": 8}
ASKED = [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, IMAGE]}]


def _read(usage: Any) -> int:  # noqa: ANN401
    return int(usage.input_tokens + usage.cache_read_input_tokens)


def _refusal(messages: Any) -> anthropic.BadRequestError:  # noqa: ANN401
    try:
        client.messages.create(messages=messages, **SEEN)
    except anthropic.BadRequestError as error:
        return error
    raise AssertionError("the request has been taken")


def check_images() -> None:
    message = client.messages.create(messages=ASKED, **SEEN)
    counted = client.messages.count_tokens(model=MODEL, messages=ASKED)
    assert _read(message.usage) == counted.input_tokens
    bare = client.messages.count_tokens(model=MODEL, messages=[{"role": "user", "content": "What is it?"}])
    assert counted.input_tokens > bare.input_tokens + 1
    with client.messages.stream(messages=ASKED, **SEEN) as stream:
        assert _read(stream.get_final_message().usage) == counted.input_tokens


def check_images_of_tools() -> None:
    messages = [
        {"role": "user", "content": "Look."},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "look", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": [IMAGE]}]},
    ]
    tools = [{"name": "look", "input_schema": {"type": "object", "properties": {}}}]
    assert client.messages.create(messages=messages, tools=tools, **SEEN).usage.output_tokens > 0


def check_image_refusals() -> None:
    elsewhere = {"type": "image", "source": {"type": "url", "url": "http://127.0.0.1/a.png"}}
    refused = _refusal([{"role": "user", "content": [elsewhere]}])
    assert "messages[0].content[0].source" in str(refused)


def check_image_capability() -> None:
    assert client.models.retrieve(MODEL).capabilities.image_input.supported


if __name__ == "__main__":
    run(globals())
