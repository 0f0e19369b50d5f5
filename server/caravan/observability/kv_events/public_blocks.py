"""The part of a model's blocks that everybody may know of."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from caravan.engine.block_events import (
    AllBlocksCleared,
    BlockEvent,
    BlocksRemoved,
    BlocksStored,
    adapter_mark,
)


class PublicBlocks:
    """Leaves out of events what only some may share: texts of one key, one group or one `cache_salt`.

    A router can do nothing with them, as it does not know who may share what. What one of the adapters has
    computed, at its full strength and for all, is told with its name.
    """

    def __init__(self, adapters: Callable[[], Iterable[str]] = tuple) -> None:
        self._adapters = adapters
        self._private: set[int] = set()
        self._by_adapter: dict[int, str] = {}

    def of(self, events: Sequence[BlockEvent]) -> Iterator[BlockEvent]:
        """Yield what is public of events, in their order."""
        for event in events:
            match event:
                case BlocksStored():
                    yield from self._stored(event)
                case BlocksRemoved(block_hashes):
                    public = tuple(name for name in block_hashes if name not in self._private)
                    self._private.difference_update(block_hashes)
                    for name in block_hashes:
                        self._by_adapter.pop(name, None)
                    if public:
                        yield BlocksRemoved(public)
                case AllBlocksCleared():
                    self._private.clear()
                    self._by_adapter.clear()
                    yield event

    def _stored(self, event: BlocksStored) -> Iterator[BlocksStored]:
        """The blocks of one chain are public up to the first that is not."""
        count = len(event.block_hashes)
        lora_name = self._lora_name(event)
        if event.parent_hash in self._private:
            count = 0
        elif lora_name is not None:
            self._by_adapter.update(dict.fromkeys(event.block_hashes, lora_name))
        elif event.scopes:
            count = next(index for index, scope in enumerate(event.scopes) if scope)
        self._private.update(event.block_hashes[count:])
        if count:
            yield BlocksStored(
                event.block_hashes[:count],
                event.parent_hash,
                event.token_ids[: count * event.block_size],
                event.block_size,
                lora_name=lora_name,
            )

    def _lora_name(self, event: BlocksStored) -> str | None:
        """Tell which adapter alone has computed a chain, if any has, from its first token on."""
        if event.parent_hash is not None:
            return self._by_adapter.get(event.parent_hash)
        if not event.scopes or not event.scopes[0]:
            return None
        marks = {adapter_mark(name): name for name in self._adapters()}
        return marks.get(event.scopes[0])
