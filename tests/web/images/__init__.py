"""A stand-in for an encoder: each byte of an image is a cell, between two tokens of the projector."""

import base64
import hashlib
from dataclasses import dataclass, field, replace
from typing import Any

from caravan.auth.principal import ANONYMOUS
from caravan.engine.media.values import SharedEmbeddings
from caravan.media.values import (
    EncodedMedia,
    EncodedRun,
    Kind,
    MediaBusyError,
    MediaFailedError,
    MediaInput,
    MediaRefusedError,
)
from caravan.models.loaded_model import LoadedModel
from fastapi.testclient import TestClient

from tests.fakes_web import ScriptedEngine, loaded_model

BEGIN, END = 1, 2
USER = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
Fields = dict[str, Any]
_FAULTS = {
    b"broken": MediaRefusedError("is no image that can be read"),
    b"busy": MediaBusyError("later"),
    b"killed": MediaFailedError("its process has ended"),
}


@dataclass
class StandInEncoder:
    """`asked` is what it was given, by whom; `num_held` is how much of what it gave is still held."""

    modalities: frozenset[Kind] = frozenset({"image"})
    asked: list[tuple[MediaInput, str, str]] = field(default_factory=list)
    num_held: int = 0
    is_causal: bool = True

    async def read(
        self, media: MediaInput, *, group: str, param: str, owner: str, weight: float
    ) -> EncodedMedia:
        assert (owner, weight) == (ANONYMOUS.id, ANONYMOUS.weight)
        self.asked.append((media, group, param))
        if media.data in _FAULTS:
            raise _FAULTS[media.data]
        self.num_held += 1
        size = len(media.data)
        run = EncodedRun(
            num_cells=size,
            num_positions=size,
            key=hashlib.md5(media.data).digest(),
            is_causal=self.is_causal,
            embeddings=SharedEmbeddings(path="/nowhere", offset=0, rows=size, width=4),
        )
        return EncodedMedia(chunks=((BEGIN,), run, (END,)), on_release=self._released)

    async def close(self) -> None:
        """Nothing is open."""

    def _released(self) -> None:
        self.num_held -= 1


def seeing(engine: ScriptedEngine, encoder: StandInEncoder, **model: str) -> LoadedModel:
    """A model over fakes that sees."""
    return replace(loaded_model(engine, **model), encoder=encoder)  # type: ignore[arg-type]


def data_url(data: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


def image(data: bytes, **others: str) -> dict[str, object]:
    """A part of a chat."""
    return {"type": "image_url", "image_url": {"url": data_url(data), **others}}


def text(words: str) -> dict[str, object]:
    return {"type": "text", "text": words}


def prompt(engine: ScriptedEngine) -> str:
    """The last prompt, with what stands for an image as the bytes of its place in the request."""
    request = engine.requests[-1]
    words = {257: "<|im_start|>", 258: "<|im_end|>", BEGIN: "[", END: "]", -1: "*"}
    parts = [words[i].encode() if i in words else bytes([i]) for i in request.token_ids]
    for run in request.media:
        assert set(request.token_ids[run.start : run.start + run.num_cells]) == {-1}
    assert request.token_ids.count(-1) == sum(run.num_cells for run in request.media)
    return b"".join(parts).decode()


def chat(client: TestClient, *parts: object, **fields: object) -> Fields:
    body = {"model": "fake", "messages": [{"role": "user", "content": list(parts)}], **fields}
    answer = client.post("/v1/chat/completions", json=body)
    assert answer.status_code == 200, answer.text
    data: Fields = answer.json()
    return data


def refusal(client: TestClient, part: object, path: str = "/v1/chat/completions") -> tuple[int, str, str]:
    body = {"model": "fake", "messages": [{"role": "user", "content": [text("a"), part]}]}
    answer = client.post(path, json=body)
    error = answer.json()["error"]
    return answer.status_code, error["param"], error["message"]
