"""Which cells of the draft model hold what: a copy of the beginnings of texts, and none that matters."""

from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass, field

from caravan.engine.interfaces import DecodingContext
from caravan.engine.kv.radix_node import common_prefix
from caravan.engine.kv.radix_tree import CacheScope

# Of a shorter beginning no copy is made.
_MIN_SHARED = 16


@dataclass(slots=True, eq=False)
class HeldText:
    """What the draft model has computed of one text: keys by its `CacheScope`."""

    seq_id: int
    scope: CacheScope
    keys: list[int] = field(default_factory=list)

    @property
    def length(self) -> int:
        """Tokens in cells."""
        return len(self.keys)


class DraftCells:
    """Sequence ids of the draft model's context, each with a text, the one used least recently first.

    Nobody has a claim on any: a text that lost its cells is computed anew. So neither preemption nor the end
    of a sequence has to be told here.
    """

    def __init__(self, context: DecodingContext) -> None:
        self._context = context
        self._free = list(range(context.max_sequences - 1, -1, -1))
        self._held: OrderedDict[int, HeldText] = OrderedDict()

    def texts(self) -> list[HeldText]:
        """All that is held."""
        return list(self._held.values())

    def hold(self, text: HeldText | None, token_ids: list[int], scope: CacheScope) -> HeldText | None:
        """Have as much of a known text in cells as agrees with `token_ids`, all but the last one, which is to
        be computed: the text held before if it still is, else a copy of the one that begins most like it.
        None where no sequence id can be had.
        """
        keys = scope.keys(token_ids)
        if text is None or self._held.get(text.seq_id) is not text:
            text = self._begun(keys, scope)
        if text is not None:
            self._held.move_to_end(text.seq_id)
            self._cut(text, min(common_prefix(text.keys, keys), len(keys) - 1))
        return text

    def note(self, text: HeldText, token_ids: list[int]) -> None:
        """Note tokens that a decode has computed for a text."""
        text.keys += text.scope.keys(token_ids, text.length)

    def evict_one(self, keep: Collection[HeldText]) -> bool:
        """Forget the text used least recently that is none of `keep`; False if there is none."""
        for text in self._held.values():
            if text not in keep:
                self._forget(text)
                return True
        return False

    def clear(self) -> None:
        """Forget everything, in the context too."""
        self._context.clear()
        self._held.clear()
        self._free = list(range(self._context.max_sequences - 1, -1, -1))

    def _begun(self, keys: list[int], scope: CacheScope) -> HeldText | None:
        lengths = {text.seq_id: common_prefix(text.keys, keys) for text in self._held.values()}
        source = max(lengths, key=lengths.__getitem__, default=None)
        if not self._free and not self.evict_one(keep=[] if source is None else [self._held[source]]):
            return None
        text = HeldText(self._free.pop(), scope)
        if source is not None and lengths[source] >= _MIN_SHARED:
            self._context.copy_sequence(source, text.seq_id, lengths[source])
            text.keys = self._held[source].keys[: lengths[source]]
        self._held[text.seq_id] = text
        return text

    def _cut(self, text: HeldText, length: int) -> None:
        if length < text.length:
            self._context.truncate_sequence(text.seq_id, length)
            del text.keys[length:]

    def _forget(self, text: HeldText) -> None:
        del self._held[text.seq_id]
        self._context.remove_sequence(text.seq_id)
        self._free.append(text.seq_id)
