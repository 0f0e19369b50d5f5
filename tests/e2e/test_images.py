"""Images from requests to answers: real encoders and engines over tiny models, with OpenAI's own client."""

import json
import os
import re
from collections.abc import Generator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from caravan.auth import keys_file
from caravan.config.settings import Settings
from caravan.models import registry_of

from tests.e2e.pictures import asked, part, picture, text, url
from tests.live_server import live_server
from tests.tiny_projector import write_tiny_pair
from tests.waiting import PATIENCE

CAT, DOG = picture(1), picture(2)
# By how llama.cpp computes them: with a causal mask, without one, with positions in a plane, in longer rows.
KINDS = ("llava", "gemma3", "qwen2vl", "qwen3vl")
_JSON = re.compile(r"^```json\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Seeing:
    """A server with a model that sees, and its two callers."""

    kind: str
    client: openai.OpenAI
    other: openai.OpenAI
    http: httpx.Client

    def chat(self, *parts: object, client: openai.OpenAI | None = None, **fields: Any) -> Any:  # noqa: ANN401
        """An answer of four tokens, each the likeliest."""
        return (client or self.client).chat.completions.create(
            model="tiny",
            messages=asked(*parts),  # type: ignore[arg-type]
            **{"max_tokens": 4, "temperature": 0, "logprobs": True, "top_logprobs": 5, **fields},
        )

    def logits(self, *parts: object, **fields: Any) -> list[dict[str, float]]:  # noqa: ANN401
        """What is likely, token by token."""
        content = self.chat(*parts, **fields).choices[0].logprobs.content
        return [{top.token: top.logprob for top in entry.top_logprobs} for entry in content]


def are_alike(one: list[dict[str, float]], other: list[dict[str, float]]) -> bool:
    """Whether the same is likely, but for how kernels round where a prompt is computed in other pieces."""
    return all(
        first.keys() == second.keys() and all(abs(first[key] - second[key]) < 1e-3 for key in first)
        for first, second in zip(one, other, strict=True)
    )


@pytest.fixture(scope="module", params=KINDS)
def seeing(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Generator[Seeing]:
    folder = tmp_path_factory.mktemp(request.param)
    model, projector = write_tiny_pair(folder, request.param)
    keys = folder / "keys.json"
    ours, others = (keys_file.add(keys, name=name) for name in ("ours", "others"))
    settings = Settings(
        model=model,
        mmproj=projector,
        model_id="tiny",
        context_size=2048,
        threads=1,
        keys_file=keys,
        responses_db=Path("memory"),
    )
    registry = registry_of(settings)
    with live_server(registry, settings) as address:
        headers = {"Authorization": f"Bearer {ours}"}
        with (
            openai.OpenAI(base_url=f"{address}/v1", api_key=ours, max_retries=0) as client,
            openai.OpenAI(base_url=f"{address}/v1", api_key=others, max_retries=0) as other,
            httpx.Client(base_url=address, headers=headers, timeout=PATIENCE) as http,
        ):
            yield Seeing(request.param, client, other, http)


def test_an_image_reaches_the_logits(seeing: Seeing) -> None:
    """The same one gives the same, in whatever file it comes; another one does not."""
    words = text("What is it?")
    cold = seeing.logits(part(CAT), words, extra_body={"cache_prompt": False})
    for _ in range(3):
        assert are_alike(cold, seeing.logits(part(CAT), words))
    assert are_alike(cold, seeing.logits(part(picture(1, form="BMP")), words))
    assert not are_alike(seeing.logits(part(DOG), words), cold)
    assert not are_alike(seeing.logits(words), cold)


def test_prefixes_know_images(seeing: Seeing) -> None:
    words = text("And now? " + "word " * 20)
    first = seeing.chat(text("One. "), part(picture(3)), words).usage
    again = seeing.chat(text("One. "), part(picture(3)), words).usage
    changed = seeing.chat(text("One. "), part(picture(4)), words).usage
    foreign = seeing.chat(text("One. "), part(picture(3)), words, client=seeing.other).usage
    num_image = first.prompt_tokens_details.image_tokens
    assert num_image > 1
    assert again.prompt_tokens == first.prompt_tokens == changed.prompt_tokens
    assert again.prompt_tokens_details.cached_tokens == first.prompt_tokens - 1
    # What is before the image is shared, and nothing of it.
    assert changed.prompt_tokens_details.cached_tokens < first.prompt_tokens - num_image
    assert foreign.prompt_tokens_details.cached_tokens == 0


def test_a_conversation_goes_on_behind_an_image(seeing: Seeing) -> None:
    messages: list[Any] = asked(part(picture(5)), text("What is it?"))
    create: Any = seeing.client.chat.completions.create
    ask = partial(create, model="tiny", max_tokens=8, temperature=0)
    first = ask(messages=messages)
    messages += [
        {"role": "assistant", "content": first.choices[0].message.content},
        {"role": "user", "content": "Sure?"},
    ]
    second = ask(messages=messages)
    assert second.usage.prompt_tokens_details.cached_tokens > first.usage.prompt_tokens // 2


def test_several_images_and_their_order(seeing: Seeing) -> None:
    words = text("Which?")
    both = seeing.logits(part(CAT), text(" or "), part(DOG), words)
    alone = seeing.logits(part(CAT), text(" or "), part(DOG), words, extra_body={"cache_prompt": False})
    assert are_alike(both, alone)
    assert not are_alike(both, seeing.logits(part(DOG), text(" or "), part(CAT), words))
    usage = [seeing.chat(*parts, words).usage for parts in ([part(CAT)], [part(CAT), text("a"), part(DOG)])]
    one, two = (each.prompt_tokens_details.image_tokens for each in usage)
    assert two == 2 * one


def test_streams_choices_tools_and_schemas(seeing: Seeing) -> None:
    words = text("Which?")
    whole = seeing.chat(part(CAT), words).choices[0].message.content
    stream = seeing.chat(part(CAT), words, stream=True, stream_options={"include_usage": True})
    chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == whole
    assert chunks[-1].usage.prompt_tokens_details.image_tokens > 1
    assert len(seeing.chat(part(CAT), words, n=3).choices) == 3
    schema: dict[str, Any] = {"type": "object", "properties": {"a": {"enum": ["cat", "dog"]}}}
    schema["required"] = ["a"]
    schema["additionalProperties"] = False
    form = {"type": "json_schema", "json_schema": {"name": "seen", "schema": schema}}
    answer = seeing.chat(part(CAT), words, response_format=form, max_tokens=200)
    assert json.loads(answer.choices[0].message.content)["a"] in ("cat", "dog")
    function = {"name": "see", "parameters": schema}
    tools = [{"type": "function", "function": function}]
    answer = seeing.chat(part(CAT), words, tools=tools, tool_choice="required", max_tokens=200)
    (call,) = answer.choices[0].message.tool_calls[:1]
    assert json.loads(call.function.arguments)["a"] in ("cat", "dog")


def test_responses(seeing: Seeing) -> None:
    image = {"type": "input_image", "image_url": url(CAT), "detail": "auto"}
    items = [{"role": "user", "content": [{"type": "input_text", "text": "What?"}, image]}]
    first = seeing.client.responses.create(model="tiny", input=items, max_output_tokens=8)  # type: ignore[arg-type]
    second = seeing.client.responses.create(
        model="tiny", input="Sure?", previous_response_id=first.id, max_output_tokens=8
    )
    assert first.usage is not None
    assert second.usage is not None
    assert second.usage.input_tokens > first.usage.input_tokens
    counted = seeing.client.responses.input_tokens.count(model="tiny", input=items)  # type: ignore[arg-type]
    assert counted.input_tokens == first.usage.input_tokens


def test_log_probabilities_of_a_prompt_are_null_where_an_image_is(seeing: Seeing) -> None:
    body = {"model": "tiny", "messages": asked(text("a"), part(CAT), text("b")), "max_tokens": 1}
    body |= {"prompt_logprobs": 1, "return_token_ids": True}
    answer = seeing.http.post("/v1/chat/completions", json=body)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    scores, token_ids = told["prompt_logprobs"], told["prompt_token_ids"]
    assert len(scores) == len(token_ids)
    assert -1 in token_ids
    assert all(score is None for score, token_id in zip(scores, token_ids, strict=True) if token_id == -1)
    assert sum(score is not None for score in scores) > 5


def test_tokens_are_shown(seeing: Seeing) -> None:
    body = {"model": "tiny", "messages": asked(text("a"), part(CAT), text("b"))}
    told = seeing.http.post("/tokenize", json=body).json()
    (place,) = told["media"]
    assert -1 in told["tokens"][place["start"] : place["start"] + place["num_tokens"]]
    answer = seeing.chat(text("a"), part(CAT), text("b"))
    assert answer.usage.prompt_tokens == told["count"]
    assert answer.usage.prompt_tokens_details.image_tokens == place["num_tokens"]


def test_lists_say_what_it_reads(seeing: Seeing) -> None:
    card = seeing.http.get("/v1/models/tiny").json()
    assert card["architecture"]["input_modalities"] == ["text", "image"]
    assert "vision" in seeing.http.post("/api/show", json={"model": "tiny"}).json()["capabilities"]


def test_broken_images_are_refused_and_the_next_is_read(seeing: Seeing) -> None:
    for data in (b"nonsense", CAT[: len(CAT) // 2], b"<svg/>", b"GIF89a"):
        with pytest.raises(openai.BadRequestError) as caught:
            seeing.chat(part(data))
        assert caught.value.param == "messages[0].content[0].image_url"
    assert seeing.chat(part(CAT)).usage.prompt_tokens_details.image_tokens > 1


def test_a_long_image_in_a_short_context_is_refused(seeing: Seeing) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        seeing.chat(*[part(picture(number)) for number in range(60)])
    assert caught.value.code == "context_length_exceeded"


def test_what_the_page_shows_works(seeing: Seeing, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    page = (ROOT / "docs/images.md").read_text(encoding="utf-8")
    for written in _JSON.findall(page):
        body = {**json.loads(written), "model": "tiny", "max_output_tokens": 4}
        answer = seeing.http.post("/v1/responses", json=body)
        assert answer.status_code == 200, answer.text
    (example,) = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "cat.png").write_bytes(CAT)
    monkeypatch.chdir(tmp_path)
    example = example.replace("http://127.0.0.1:8000", str(seeing.http.base_url).rstrip("/"))
    example = example.replace('"gemma"', '"tiny"').replace(
        'api_key="none"', f'api_key="{seeing.client.api_key}"'
    )
    exec(compile(example, "images.md", "exec"), {})
    assert os.getcwd() == str(tmp_path)
