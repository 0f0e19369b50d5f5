"""The part of a model's blocks that everybody may know of."""

from collections.abc import Iterator, Sequence

from caravan.engine.block_events import AllBlocksCleared, BlockEvent, BlocksRemoved, BlocksStored


class PublicBlocks:
    """Leaves out of events what only some may share: texts of one key, one group or one `cache_salt`.

    A router can do nothing with them, as it does not know who may share what.
    """

    def __init__(self) -> None:
        self._private: set[int] = set()

    def of(self, events: Sequence[BlockEvent]) -> Iterator[BlockEvent]:
        """Yield what is public of events, in their order."""
        for event in events:
            match event:
                case BlocksStored():
                    yield from self._stored(event)
                case BlocksRemoved(block_hashes):
                    public = tuple(name for name in block_hashes if name not in self._private)
                    self._private.difference_update(block_hashes)
                    if public:
                        yield BlocksRemoved(public)
                case AllBlocksCleared():
                    self._private.clear()
                    yield event

    def _stored(self, event: BlocksStored) -> Iterator[BlocksStored]:
        """The blocks of one chain are public up to the first that is not."""
        count = len(event.block_hashes)
        if event.parent_hash in self._private:
            count = 0
        elif event.scopes:
            count = next(index for index, scope in enumerate(event.scopes) if scope)
        self._private.update(event.block_hashes[count:])
        if count:
            yield BlocksStored(
                event.block_hashes[:count],
                event.parent_hash,
                event.token_ids[: count * event.block_size],
                event.block_size,
            )
