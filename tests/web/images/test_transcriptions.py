"""Speech into text, over a stand-in for the encoder and a scripted engine."""

import pytest
from fastapi.testclient import TestClient

from tests.fakes_web import ScriptedEngine
from tests.web.images import Fields, StandInEncoder, prompt

SPEECH = "/v1/audio/transcriptions"


def wav(**fields: str) -> Fields:
    return {"files": {"file": ("speech.wav", b"RIFF")}, "data": {"model": "fake", **fields}}


def test_speech_into_text(client: TestClient, engine: ScriptedEngine, encoder: StandInEncoder) -> None:
    encoder.modalities = frozenset({"audio"})
    engine.script = lambda _request, _index: [" Good ", "morning. "]
    answer = client.post(SPEECH, **wav(language="en", prompt="A greeting.", temperature="0.5"))
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert told["text"] == "Good morning."
    assert told["usage"]["input_token_details"]["audio_tokens"] == 6
    assert told["usage"]["input_tokens"] == len(engine.requests[-1].token_ids)
    assert "[****]Write down" in prompt(engine)
    assert "The language is 'en'.\nWhat to know of it: A greeting.<" in prompt(engine)
    assert engine.requests[-1].params.temperature == 0.5
    plain = client.post(SPEECH, **wav(response_format="text"))
    assert plain.text == "Good morning.\n"
    assert plain.headers["content-type"].startswith("text/plain")
    assert encoder.asked[-1][0].data == b"RIFF"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"response_format": "verbose_json"}, "response_format"),
        ({"response_format": "srt"}, "response_format"),
        ({"response_format": "xml"}, "response_format"),
        ({"timestamp_granularities[]": "word"}, "timestamp_granularities"),
        ({"stream": "true"}, "stream"),
        ({"temperature": "hot"}, "temperature"),
        ({}, "file"),
    ],
)
def test_speech_that_cannot_be_written_down(client: TestClient, fields: Fields, param: str) -> None:
    """The last one is sent to a model that does not hear."""
    answer = client.post(SPEECH, **wav(**fields))
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["param"] == param


def test_speech_of_too_many_bytes(client: TestClient, encoder: StandInEncoder) -> None:
    encoder.modalities = frozenset({"audio"})
    answer = client.post(SPEECH, files={"file": ("speech.wav", b"x" * 65)}, data={"model": "fake"})
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == "'file' has more than 64 bytes."
