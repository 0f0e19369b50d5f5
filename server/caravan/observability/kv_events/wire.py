"""Batches of events as vLLM publishes them (`vllm/distributed/kv_events.py`, from 0.26 on), in MessagePack.

A batch is an array, and each event in it a map with its name under `type`.
"""

import time
from collections.abc import Iterable, Iterator

import msgspec

from caravan.engine import block_events
from caravan.engine.block_events import BlockEvent

# What vLLM calls the memory that is computed with, also where that is a processor's; routers count no other.
_MEDIUM = "GPU"


class EventBatch(msgspec.Struct, array_like=True, omit_defaults=True, gc=False):
    """All that one step has changed. `ts` is in seconds since 1970."""

    ts: float
    events: "list[BlockStored | BlockRemoved | AllBlocksCleared]"
    data_parallel_rank: int | None = None


class BlockStored(msgspec.Struct, omit_defaults=True, gc=False, tag=True):
    """vLLM's, as far as a model without pictures fills it."""

    block_hashes: tuple[int, ...]
    parent_block_hash: int | None
    token_ids: tuple[int, ...]
    block_size: int
    lora_id: None
    medium: str | None
    lora_name: str | None


class BlockRemoved(msgspec.Struct, omit_defaults=True, gc=False, tag=True):
    """vLLM's."""

    block_hashes: tuple[int, ...]
    medium: str | None


class AllBlocksCleared(msgspec.Struct, omit_defaults=True, gc=False, tag=True):
    """vLLM's."""


_encoder = msgspec.msgpack.Encoder()


def encode(events: Iterable[BlockEvent]) -> bytes:
    """Write events as one batch of now."""
    return _encoder.encode(EventBatch(time.time(), list(_written(events)), 0))


def _written(events: Iterable[BlockEvent]) -> Iterator[BlockStored | BlockRemoved | AllBlocksCleared]:
    for event in events:
        match event:
            case block_events.BlocksStored(hashes, parent, token_ids, block_size, _, lora_name):
                yield BlockStored(hashes, parent, token_ids, block_size, None, _MEDIUM, lora_name)
            case block_events.BlocksRemoved(block_hashes):
                yield BlockRemoved(block_hashes, _MEDIUM)
            case _:
                yield AllBlocksCleared()
