"""A router as vLLM's users have it: a subscriber that decodes by vLLM's own definitions."""

from typing import Any

import msgspec
import zmq

PATIENCE_MS = 60_000


# Fields and their order are those of vllm/distributed/kv_events.py in vLLM 0.26.
class VllmEventBatch(msgspec.Struct, array_like=True, omit_defaults=True, gc=False):
    ts: float
    events: list[Any]
    data_parallel_rank: int | None = None


class VllmEvent(msgspec.Struct, omit_defaults=True, gc=False, tag=True):
    pass


class BlockStored(VllmEvent, tag="BlockStored"):
    block_hashes: list[bytes | int]
    parent_block_hash: bytes | int | None
    token_ids: list[int]
    block_size: int
    lora_id: int | None
    medium: str | None
    lora_name: str | None
    extra_keys: list[tuple[Any, ...] | None] | None = None
    group_idx: int | None = None
    kv_cache_spec_kind: str | None = None
    kv_cache_spec_sliding_window: int | None = None


class BlockRemoved(VllmEvent, tag="BlockRemoved"):
    block_hashes: list[bytes | int]
    medium: str | None
    group_idx: int | None = None


class Cleared(VllmEvent, tag="AllBlocksCleared"):
    pass


class VllmBatch(VllmEventBatch):
    events: list[BlockStored | BlockRemoved | Cleared]


DECODER = msgspec.msgpack.Decoder(VllmBatch)


class Router:
    """A subscriber that has joined, and asks for what it has missed."""

    def __init__(self, events: str, replay: str) -> None:
        self._zmq = zmq.Context()
        self._sub = self._zmq.socket(zmq.SUB)
        self._sub.subscribe(b"kv@")
        self._sub.connect(events)
        self._dealer = self._zmq.socket(zmq.DEALER)
        self._dealer.connect(replay)

    def has_news(self, milliseconds: int) -> bool:
        """Whether a batch is there, or comes within that time."""
        return bool(self._sub.poll(milliseconds))

    def receive(self) -> tuple[bytes, int, VllmBatch]:
        """The next batch: topic, number, events."""
        assert self._sub.poll(PATIENCE_MS), "nothing came"
        topic, number, batch = self._sub.recv_multipart()
        assert len(number) == 8
        return topic, int.from_bytes(number, "big"), DECODER.decode(batch)

    def replay(self, first: int) -> list[tuple[bytes, int, VllmBatch]]:
        """All that is answered to somebody who has missed `first` and what came after it."""
        self._dealer.send_multipart([b"", first.to_bytes(8, "big")])
        told: list[tuple[bytes, int, VllmBatch]] = []
        while True:
            assert self._dealer.poll(PATIENCE_MS), "no answer came"
            empty, topic, number, batch = self._dealer.recv_multipart()
            assert empty == b""
            if number == b"\xff" * 8:
                assert (topic, batch) == (b"", b"")
                return told
            told.append((topic, int.from_bytes(number, "big"), DECODER.decode(batch)))

    def say(self, *frames: bytes) -> None:
        """Ask for nothing that makes sense."""
        self._dealer.send_multipart(frames)

    def close(self) -> None:
        self._zmq.destroy(linger=0)
