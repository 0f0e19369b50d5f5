"""Sounds from requests to answers: a real encoder and engine over a tiny model, with OpenAI's own client."""

import base64
from collections.abc import Generator
from pathlib import Path
from typing import Any

import openai
import pytest
from caravan.config.settings import Settings
from caravan.models import registry_of

from tests.live_server import live_server
from tests.media_files import image_file, sound_file
from tests.tiny_projector import write_tiny_pair

SPEECH = sound_file()


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Generator[openai.OpenAI]:
    model, projector = write_tiny_pair(tmp_path_factory.mktemp("hears"), "ultravox")
    settings = Settings(
        model=model,
        mmproj=projector,
        model_id="tiny",
        context_size=4096,
        threads=1,
        responses_db=Path("memory"),
    )
    registry = registry_of(settings)
    with (
        live_server(registry, settings) as address,
        openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as made,
    ):
        yield made


def heard(client: openai.OpenAI, data: bytes) -> Any:  # noqa: ANN401
    written = base64.b64encode(data).decode()
    sound = {"type": "input_audio", "input_audio": {"data": written, "format": "wav"}}
    message: Any = {"role": "user", "content": [{"type": "text", "text": "What is it?"}, sound]}
    return client.chat.completions.create(
        model="tiny", messages=[message], max_tokens=4, temperature=0, logprobs=True, top_logprobs=3
    )


def test_a_sound_reaches_the_logits(client: openai.OpenAI) -> None:
    first, again, other = (heard(client, data) for data in (SPEECH, SPEECH, sound_file(seed=1)))
    assert first.choices[0].logprobs == again.choices[0].logprobs != other.choices[0].logprobs
    details = again.usage.prompt_tokens_details
    assert details.audio_tokens > 1
    assert details.image_tokens == 0
    assert details.cached_tokens == again.usage.prompt_tokens - 1


def test_speech_is_written_down(client: openai.OpenAI) -> None:
    create: Any = client.audio.transcriptions.create
    asked = {"model": "tiny", "file": ("speech.wav", SPEECH), "language": "en", "prompt": "Noise."}
    told = create(**asked)
    assert told.usage.input_token_details.audio_tokens > 1
    assert told.usage.output_tokens > 0
    plain = create(
        model="tiny", file=("speech.wav", SPEECH), response_format="text", language="en", prompt="Noise."
    )
    assert plain.strip() == told.text


def test_what_is_no_speech_is_refused(client: openai.OpenAI) -> None:
    create: Any = client.audio.transcriptions.create
    for data in (b"nonsense", image_file(0)):
        with pytest.raises(openai.BadRequestError) as caught:
            create(model="tiny", file=("speech.wav", data))
        assert caught.value.param == "file"
    with pytest.raises(openai.BadRequestError) as caught:
        create(model="tiny", file=("speech.wav", SPEECH), response_format="verbose_json")
    assert caught.value.param == "response_format"


def test_it_sees_nothing(client: openai.OpenAI) -> None:
    url = f"data:image/png;base64,{base64.b64encode(image_file(0)).decode()}"
    message: Any = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="tiny", messages=[message])
    assert "reads no images" in str(caught.value)
