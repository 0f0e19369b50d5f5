"""Log probabilities on their way out: those of an answer with their tokens' text, those of prompts as far as
they are known.

Cells remember what a model made of a prompt, but not how likely each token of it was; that takes the row of
logits before it. So what was found is kept apart from the cells, and a prompt that begins like another need
compute only the rows, and the cells, of what is new in it.
"""

import math
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence

import msgspec

from caravan.engine.media.keys import is_media
from caravan.engine.output.prompt_rows import PromptRows
from caravan.engine.outputs import TokenLogprob
from caravan.engine.sampling.candidates import Floats, Ids, LogSoftmax

# Bytes kept. A node takes _NODE_BYTES, with all but the likeliest tokens of its entry.
_CAPACITY = 20 * 2**20
_NODE_BYTES = 400

Key = tuple[str | int, int]
# What a cell of an image tells, and the token behind it, whose row of logits is not wanted.
NOTHING = TokenLogprob(token_id=-1, logprob=math.nan)


class PendingLogprobs:
    """Entries of tokens whose first character is not out yet, in the order in which they were drawn."""

    def __init__(self) -> None:
        self._held: deque[TokenLogprob] = deque()
        self._num_sent = 0

    def add(self, entry: TokenLogprob, offset: int, *, is_end: bool) -> None:
        """Hold an entry until the character at `offset` of the choice's text goes out."""
        self._held.append(msgspec.structs.replace(entry, offset=offset, is_end=is_end))

    def release(self, text: str, *, is_all: bool) -> tuple[TokenLogprob, ...]:
        """Release the entries that go with the next piece of text; with `is_all` all that are left."""
        self._num_sent += len(text)
        if not self._held:
            return ()
        released = []
        while self._held and (is_all or self._held[0].offset < self._num_sent):
            released.append(self._held.popleft())
        return tuple(released)


class _Node:
    """A token after a certain prefix."""

    __slots__ = ("entry", "number")

    def __init__(self, number: int, entry: TokenLogprob | None) -> None:
        self.number = number
        self.entry = entry

    @property
    def weight(self) -> int:
        return _NODE_BYTES + (len(self.entry.top) if self.entry else 0)


class PromptLogprobBuffer:
    """A trie of scored prompts; whose tokens were used least recently are forgotten first.

    A node is found by its token and the number of the node before it, or by the salt at the beginning.
    Numbers are never used again, so what follows a forgotten node is never found again either.
    """

    def __init__(self, capacity: int = _CAPACITY) -> None:
        self._capacity = capacity
        self._nodes: OrderedDict[Key, _Node] = OrderedDict()
        self._num_made = 0
        self._weight = 0

    def find(self, key: Key) -> _Node | None:
        """Find what is known of a token after the prefix that its key names."""
        return self._nodes.get(key)

    def put(self, key: Key, entry: TokenLogprob | None) -> _Node:
        """Note what is known of a token; a prefix keeps its number."""
        old = self._nodes.pop(key, None)
        if old is None:
            self._num_made += 1
            node = _Node(self._num_made, entry)
        else:
            node = _Node(old.number, entry)
            self._weight -= old.weight
        self._nodes[key] = node
        self._weight += node.weight
        while self._weight > self._capacity:
            self._weight -= self._nodes.popitem(last=False)[1].weight
        return node

    def touch(self, keys: Sequence[Key]) -> None:
        """Note that a prompt was used, its first tokens last: what is forgotten first is its end."""
        for key in reversed(keys):
            if key in self._nodes:
                self._nodes.move_to_end(key)

    def forget(self, is_unwanted: Callable[[str], bool]) -> None:
        """Forget the beginnings of such salts; what follows them is never found again."""
        for key in [key for key in self._nodes if isinstance(key[0], str) and is_unwanted(key[0])]:
            self._weight -= self._nodes.pop(key).weight


class PromptScores(PromptRows):
    """The log probabilities of one prompt, each with the `num_top` likeliest tokens, as they become known.

    `entries` begins with the second token; the first has nothing before it. Where there are cells of images
    among `token_ids`, these and the tokens right behind them have NOTHING.
    """

    def __init__(self, book: PromptLogprobBuffer, token_ids: Sequence[int], salt: str, num_top: int) -> None:
        super().__init__(len(token_ids), 1)
        self._book = book
        self._token_ids = token_ids
        self._num_top = num_top
        self._has_media = any(map(is_media, token_ids))
        self._keys: list[Key] = [(salt, token_ids[0])]
        self._pass_media()

    def recall(self) -> None:
        """Take over what the book knows."""
        here = None if self.is_complete else self._book.find(self._keys[-1])
        if here is None:
            return
        num_top, number = self._num_top, here.number
        for place in range(self.next_position, len(self._token_ids)):
            key = (number, self._token_ids[place])
            node = self._book.find(key)
            if node is None or node.entry is None:
                break
            if (has := node.entry.num_top) < num_top and node.entry.token_id >= 0:
                break
            self._add(key, node.entry if has == num_top else node.entry.with_top(num_top))
            number = node.number
        self._pass_media()

    def touch(self) -> None:
        """Note that what is known of the prompt is used."""
        self._book.touch(self._keys)

    def take(self, rows: Floats, ids: Ids) -> None:
        """Note how likely rows make the tokens that follow them."""
        here = self._last_node()
        for row in rows:
            token_id = self._token_ids[self.next_position]
            if is_media(token_id):
                self._note(here, NOTHING)
                break
            entry = LogSoftmax(row, ids, self._num_top).of(token_id)
            if math.isnan(entry.logprob):
                raise ValueError("a logit is not a number")
            rank = 1 + int((row > row[token_id]).sum())
            here = self._note(here, msgspec.structs.replace(entry, rank=rank))
        self._pass_media()
        if self.is_complete:
            self.touch()

    def _last_node(self) -> _Node:
        return self._book.find(self._keys[-1]) or self._book.put(self._keys[-1], None)

    def _note(self, here: _Node, entry: TokenLogprob) -> _Node:
        key = (here.number, self._token_ids[self.next_position])
        self._add(key, entry)
        return self._book.put(key, entry)

    def _add(self, key: Key, entry: TokenLogprob) -> None:
        self._keys.append(key)
        self.entries.append(entry)
        self.next_position += 1

    def _pass_media(self) -> None:
        """Note that there is nothing to tell where no row of a token comes before."""
        if not self._has_media:
            return
        here = self._last_node()
        while not self.is_complete and is_media(self._token_ids[self.next_position - 1]):
            here = self._note(here, NOTHING)
