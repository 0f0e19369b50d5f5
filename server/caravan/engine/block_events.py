"""Which whole blocks of tokens an engine can reuse, told to routers as events, by hashes of 64 bits.

A hash covers its block, all before it, the root of its chain, and who may share it: two prompts share a block
exactly where their hashes are equal.
"""

import hashlib
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import msgspec

from caravan.engine.kv.radix_tree import mark_of, scope_mark, token_of
from caravan.engine.kv.scopes import name_of_set, scope_of
from caravan.engine.media.keys import CELL_BYTES, cells_of, is_media
from caravan.engine.params import GenerationRequest

BLOCK_SIZE = 64

_HASH_BYTES = 8
# Keys of tokens that are not public have more than the 32 bits of a token, and those of images more again.
_KEY_BYTES = 20


class BlocksStored(msgspec.Struct, frozen=True, tag=True):
    """Blocks that can be reused from now on: a piece of one chain, with all of its tokens.

    `parent_hash` is that of the block before the first, None at the beginning of a text. `scopes` tells for
    each block whose text begins to be private in it, as `scope_mark` has it, the last where it begins to be
    of two, and "" where none does; there are none where that is so of all. `lora_name` is the adapter that
    all of it was computed with, where others may know that. A cell of an image has 2^32 - 1 for a token, and
    its hash tells which.
    """

    block_hashes: tuple[int, ...]
    parent_hash: int | None
    token_ids: tuple[int, ...]
    block_size: int
    scopes: tuple[str, ...] = ()
    lora_name: str | None = None


class BlocksRemoved(msgspec.Struct, frozen=True, tag=True):
    """Blocks that can be reused no longer, each after those that continue it."""

    block_hashes: tuple[int, ...]


class AllBlocksCleared(msgspec.Struct, frozen=True, tag=True):
    """Nothing of what was told before can be reused."""


BlockEvent = BlocksStored | BlocksRemoved | AllBlocksCleared


@dataclass(frozen=True, slots=True)
class Block:
    """One block of a chain: its keys (`CacheScope.keys`), the hash before it, and how many are before it."""

    keys: tuple[int, ...]
    parent_hash: int | None
    depth: int


def chain_root(fingerprint: str, adapters: Sequence[str] = ()) -> bytes:
    """Begin the chains of a model: what is computed with other weights, or other adapters, agrees nowhere."""
    digest = hashlib.blake2b(digest_size=16)
    for word in (fingerprint, *adapters):
        digest.update(struct.pack("<Q", len(word.encode())) + word.encode())
    return digest.digest()


def adapter_mark(name: str) -> str:
    """Tell the mark of `scopes` where one adapter has computed a text, at its full strength and for all."""
    return mark_of(name_of_set(((name, 1.0),)))


def block_hashes(keys: Sequence[int], root: bytes, block_size: int = BLOCK_SIZE) -> list[int]:
    """Hash each whole block of a text, of token ids or, where not all of it is public, of their keys."""
    hashes: list[int] = []
    for start in range(0, len(keys) - block_size + 1, block_size):
        parent = hashes[-1] if hashes else None
        hashes.append(block_hash(keys[start : start + block_size], parent, root))
    return hashes


def hashes_of_request(request: GenerationRequest, root: bytes, block_size: int = BLOCK_SIZE) -> list[int]:
    """Hash the blocks of a prompt that an engine may have: its last token is computed in any case."""
    cells = cells_of(request.token_ids, request.media)
    return block_hashes(scope_of(request).keys(cells[:-1]), root, block_size)


def block_hash(keys: Sequence[int], parent_hash: int | None, root: bytes) -> int:
    """Hash one block by its keys and what is before it."""
    before = root if parent_hash is None else parent_hash.to_bytes(_HASH_BYTES, "little")
    digest = hashlib.blake2b(_packed(keys), digest_size=_HASH_BYTES, key=before)
    return int.from_bytes(digest.digest(), "little")


def stored(blocks: Iterable[tuple[int, Block]]) -> Iterator[BlocksStored]:
    """Tell of blocks by their hashes; those that follow on each other in one event."""
    run: list[tuple[int, Block]] = []
    for name, block in blocks:
        if run and block.parent_hash != run[-1][0]:
            yield _stored(run)
            run = []
        run.append((name, block))
    if run:
        yield _stored(run)


def _stored(run: list[tuple[int, Block]]) -> BlocksStored:
    scopes = tuple(next(filter(None, map(scope_mark, reversed(block.keys))), "") for _, block in run)
    return BlocksStored(
        block_hashes=tuple(name for name, _ in run),
        parent_hash=run[0][1].parent_hash,
        token_ids=tuple(token_of(key) for _, block in run for key in block.keys),
        block_size=len(run[0][1].keys),
        scopes=scopes if any(scopes) else (),
    )


def _packed(keys: Sequence[int]) -> bytes:
    try:
        return struct.pack(f"<{len(keys)}I", *keys)
    except struct.error:
        # No block of public tokens is as long as this one, and none without an image as long as one with it.
        size = CELL_BYTES if any(map(is_media, keys)) else _KEY_BYTES
        return b"".join(key.to_bytes(size, "little") for key in keys)
