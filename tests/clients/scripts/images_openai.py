"""Images by OpenAI's own client for Python, to a model that sees."""

from typing import Any

import openai

from tests.clients.conversation import BASE_URL, MODEL, run
from tests.clients.picture import DATA_URL

client: Any = openai.OpenAI(base_url=BASE_URL, api_key="none", max_retries=0)
TEXT = {"type": "text", "text": "What is it?"}


def _image(url: str) -> dict[str, object]:
    return {"type": "image_url", "image_url": {"url": url, "detail": "auto"}}


def _refusal(url: str) -> openai.BadRequestError:
    try:
        client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": [_image(url)]}])
    except openai.BadRequestError as error:
        return error
    raise AssertionError(f"{url} has been taken")


def check_images() -> None:
    messages = [{"role": "user", "content": [TEXT, _image(DATA_URL), _image(DATA_URL)]}]
    answer = client.chat.completions.create(model=MODEL, messages=messages, max_tokens=4)
    details = answer.usage.prompt_tokens_details
    assert (details.image_tokens or 0) > 2
    stream = client.chat.completions.create(
        model=MODEL, messages=messages, max_tokens=4, stream=True, stream_options={"include_usage": True}
    )
    assert [chunk.usage.prompt_tokens for chunk in stream if chunk.usage] == [answer.usage.prompt_tokens]


def check_images_in_responses() -> None:
    image = {"type": "input_image", "image_url": DATA_URL, "detail": "auto"}
    items = [{"role": "user", "content": [{"type": "input_text", "text": "What is it?"}, image]}]
    first = client.responses.create(model=MODEL, input=items, max_output_tokens=4)
    again = client.responses.create(
        model=MODEL, input="Sure?", previous_response_id=first.id, max_output_tokens=4
    )
    assert again.usage.input_tokens > first.usage.input_tokens


def check_image_refusals() -> None:
    for url in ("https://example.org/a.png", "data:image/png;base64,AAAA", "/etc/passwd"):
        assert _refusal(url).param == "messages[0].content[0].image_url"


if __name__ == "__main__":
    run(globals())
