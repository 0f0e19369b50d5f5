"""What events of blocks add up to, in little memory, for whoever comes late."""

from array import array
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from caravan.engine.block_events import AllBlocksCleared, BlockEvent, BlocksRemoved, BlocksStored


class _Known(NamedTuple):
    parent_hash: int | None
    token_ids: "array[int]"
    scope: str
    lora_name: str | None


class BlockBooks:
    """The blocks of one engine, as far as events have told of them."""

    def __init__(self) -> None:
        # Parents stand before children: an engine forgets no block that another continues.
        self._known: dict[int, _Known] = {}
        self.has_begun = False

    def __len__(self) -> int:
        return len(self._known)

    def add(self, events: Sequence[BlockEvent]) -> None:
        """Take events, in their order."""
        self.has_begun = True
        for event in events:
            match event:
                case BlocksStored():
                    self._known.update(_singles(event))
                case BlocksRemoved(block_hashes):
                    for name in block_hashes:
                        self._known.pop(name, None)
                case AllBlocksCleared():
                    self._known.clear()

    def copy(self) -> "BlockBooks":
        """Return the books of this moment."""
        books = BlockBooks()
        books._known = dict(self._known)
        return books

    def snapshot(self) -> Iterator[BlockEvent]:
        """Yield events that lead here from anywhere."""
        yield AllBlocksCleared()
        for name, known in self._known.items():
            scopes = (known.scope,) if known.scope else ()
            token_ids = tuple(known.token_ids)
            yield BlocksStored((name,), known.parent_hash, token_ids, len(token_ids), scopes, known.lora_name)


def _singles(event: BlocksStored) -> Iterator[tuple[int, _Known]]:
    parent, size = event.parent_hash, event.block_size
    for index, name in enumerate(event.block_hashes):
        token_ids = array("I", event.token_ids[index * size : (index + 1) * size])
        yield name, _Known(parent, token_ids, event.scopes[index] if event.scopes else "", event.lora_name)
        parent = name
