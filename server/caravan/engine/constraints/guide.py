"""What binds the next token of one sequence: it thinks, writes freely, or keeps to its constraint."""

import copy
import math
from collections import deque
from collections.abc import Collection

import numpy as np

from caravan.engine.constraints.marker_search import MarkerSearch
from caravan.engine.constraints.reasoning_start import MAX_OPENING, WHITESPACE, ReasoningStart, forbid_except
from caravan.engine.constraints.stage import Stage
from caravan.engine.interfaces import Ids, Logits, Mask
from caravan.engine.params import Reasoning
from caravan.grammars.constraint import Constraint
from caravan.grammars.token_table import TokenTable

# White space, in tokens, that a model may put between its thoughts and constrained text.
_MAX_SPACES = 4


class Guide:
    """The state of one sequence between reasoning, markers and mask, as `caravan.engine.params` defines it.

    Text counts as bytes, with control tokens written out (`TokenTable.raw_bytes`).
    """

    def __init__(
        self,
        tokens: TokenTable,
        space_ids: Ids,
        mask: Mask | None,
        constraint: Constraint | None,
        reasoning: Reasoning | None,
        shown_ids: Collection[int] = (),
    ) -> None:
        self._tokens = tokens
        self._shown_ids = shown_ids
        self._space_ids = space_ids
        self._end_ids = tokens.end_of_generation_ids
        self._mask = mask
        self._markers = tuple(marker.encode() for marker in constraint.after) if constraint else ()
        self._begins = constraint.begins if constraint else None
        self._begun = b""
        self._binds_at_once = mask is not None and constraint is not None and constraint.binds_at_once
        self._reasoning = reasoning
        self._search = MarkerSearch(self._markers)
        self._num_spaces_left = 0
        self._opening = ReasoningStart(reasoning, mask if self._binds_at_once else None)
        self._ending: deque[int] | None = None
        budget = reasoning.budget if reasoning else None
        self._budget = math.inf if budget is None else budget
        # Tokens that have opened the thoughts do not count for their budget.
        self._num_opening = 0
        self._num_thoughts = 0
        self.stage = self._first_stage()

    @property
    def is_complete(self) -> bool:
        """Whether a constraint binds, is satisfied, and nothing can be added."""
        return self.stage is Stage.BOUND and self._mask is not None and self._mask.is_complete

    @property
    def num_reasoning_tokens(self) -> int:
        """Tokens of thinking, its markers included."""
        return self._num_opening + self._num_thoughts

    @property
    def next_mask(self) -> Mask | None:
        """The mask that the next draw will ask, None if it will ask none."""
        if self.stage in (Stage.BOUND, Stage.LEADING):
            return self._mask
        return self._opening.mask if self.stage is Stage.OPENING else None

    def forbid(self, logits: Logits) -> Ids | None:
        """Set the logits [vocab_size] of tokens that may not come to minus infinity, as `TokenMask.forbid`.

        Tokens that only their text rules out stay; `admits` refuses those.
        """
        mask = self._mask
        if self.stage is Stage.THINKING and self._binds_at_once:
            logits[list(self._end_ids)] = -np.inf
        elif self.stage is Stage.BOUND and mask is not None:
            return mask.forbid(logits)
        elif self.stage is Stage.LEADING and mask is not None:
            spaces = self._space_ids if self._num_spaces_left else self._space_ids[:0]
            return forbid_except(mask, logits, spaces)
        elif self.stage is Stage.OPENING and self._opening.next_ids is not None:
            return forbid_except(self._opening.mask, logits, self._opening.next_ids)
        return None

    def admits(self, token_id: int) -> bool:
        """Tell whether a token may come next; if so, it is noted, else nothing has changed."""
        if self._ending and token_id == self._ending[0]:
            return self._end_thoughts(token_id)
        match self.stage:
            case Stage.FREE:
                return True
            case Stage.BOUND:
                return self._mask is not None and self._mask.admits(token_id)
            case Stage.LEADING:
                return self._leads(token_id)
            case _ if token_id in self._end_ids:
                return not self._binds_at_once or (
                    self.stage is Stage.OPENING and self._opens_or_fits(token_id)
                )
            case Stage.BEGINNING:
                return self._answers(token_id, self._tokens.raw_bytes(token_id), self._search, self._begun)
            case Stage.SEARCHING:
                return self._finds(token_id, self._tokens.raw_bytes(token_id), self._search)
            case Stage.THINKING:
                return self._thinks(token_id, self._tokens.raw_bytes(token_id))
            case Stage.OPENING:
                return self._opens_or_fits(token_id) if self._binds_at_once else self._opens(token_id)

    def forced(self, *, is_ruled: bool = False) -> list[int]:
        """List tokens that come next without a draw, a piece of a long run; nothing is noted yet.

        With `is_ruled`, other rules may ban tokens, so that a constraint's only way on has to be drawn.
        """
        if self.stage is Stage.THINKING and self._ending is None and self._num_thoughts >= self._budget:
            assert self._reasoning is not None
            self._ending = deque(self._search.missing(self._reasoning.end_token_ids))
        if self._ending:
            return list(self._ending)
        if self.stage is Stage.BOUND and self._mask is not None and not is_ruled:
            return self._mask.forced()
        return []

    def copied(self) -> "Guide":
        """A guide in the same state, which goes its own way."""
        twin = copy.copy(self)
        twin._mask = None if self._mask is None else self._mask.copied()
        twin._search = self._search.copied()
        twin._opening = self._opening.copied(twin._mask)
        twin._ending = None if self._ending is None else deque(self._ending)
        return twin

    def end_thoughts(self) -> None:
        """Have a thought that is being thought end with the next token."""
        if self.stage is Stage.THINKING:
            self._budget = 0

    def _first_stage(self) -> Stage:
        if self._reasoning is None:
            return self._answer_stage()
        if self._reasoning.is_open:
            self._begin_thoughts()
            return Stage.THINKING
        return Stage.OPENING if self._opening.is_possible else self._answer_stage()

    def _answer_stage(self) -> Stage:
        if self._mask is None:
            return Stage.FREE
        return Stage.BOUND if self._binds_at_once else Stage.BEGINNING

    def _begin_thoughts(self) -> None:
        assert self._reasoning is not None
        self._search = MarkerSearch([self._reasoning.end.encode()])

    def _end_thoughts(self, token_id: int) -> bool:
        """Take a token that ends the thoughts by force, whatever it comes to."""
        assert self._ending is not None
        self._ending.popleft()
        if self.stage is Stage.THINKING:
            if not self._thinks(token_id, self._tokens.raw_bytes(token_id)):
                self._num_thoughts += 1
                self._answer(b"")
            elif self.stage is Stage.THINKING and not self._ending:
                self._answer(b"")
            return True
        self._ending, rest = None, self._ending
        is_admitted = self.admits(token_id)
        self._ending = rest if is_admitted else None
        return is_admitted

    def _thinks(self, token_id: int | None, text: bytes) -> bool:
        found = self._search.find(text)
        if found is None:
            self._search.push(token_id, text)
        elif not self._answer(text[found.end :]):
            return False
        self._num_thoughts += 1
        return True

    def _answer(self, rest: bytes) -> bool:
        """Go on to the answer, of which the token that ended the thoughts has brought these bytes."""
        if self._mask is None:
            self.stage = Stage.FREE
        elif not self._binds_at_once:
            return self._answers(None, rest, MarkerSearch(self._markers), b"")
        elif self._begins_with(rest):
            self.stage = Stage.BOUND
        elif rest.strip(WHITESPACE):
            return False
        else:
            self.stage = Stage.LEADING
            self._num_spaces_left = _MAX_SPACES
        return True

    def _begins_with(self, rest: bytes) -> bool:
        """Whether bound text has begun with these bytes, white space left out unless it is wanted."""
        assert self._mask is not None
        stripped = rest.lstrip(WHITESPACE)
        return bool(rest) and (
            self._mask.admits_text(rest) or (bool(stripped) and self._mask.admits_text(stripped))
        )

    def _leads(self, token_id: int) -> bool:
        assert self._mask is not None
        if self._mask.admits(token_id):
            self.stage = Stage.BOUND
            return True
        if self._num_spaces_left and token_id in self._space_ids:
            self._num_spaces_left -= 1
            return True
        return False

    def _answers(self, token_id: int | None, text: bytes, search: MarkerSearch, begun: bytes) -> bool:
        """Go on with an answer of which some has come: it may begin in a way that binds all of it."""
        # Whoever reads the answer does not see all control tokens.
        is_seen = token_id is None or token_id in self._shown_ids or self._tokens.token_bytes(token_id)
        whole = (begun + text if is_seen else begun).lstrip(WHITESPACE)
        # What ends a beginning is plain text of one byte a character.
        begins = self._begins.stands_in(whole.decode("latin-1")) if self._begins else False
        if begins is False or search.find(text):
            return self._finds(token_id, text, search)
        if begins:
            if self._mask is None or not self._mask.admits_text(whole):
                return False
            self.stage = Stage.BOUND
            return True
        search.push(token_id, text)
        self._search, self._begun, self.stage = search, whole, Stage.BEGINNING
        return True

    def _finds(self, token_id: int | None, text: bytes, search: MarkerSearch) -> bool:
        """Look for a marker in text that grows by a token, or by some bytes of one."""
        found = search.find(text)
        if found is not None:
            assert self._mask is not None
            head, token_ids = search.since(found, token_id, text)
            # A marker may be a token of its own to the grammar, or spelled out in several.
            written = search.bytes_since(found, text)
            if not self._mask.admits_text(head, token_ids) and not self._mask.admits_text(written):
                return False
            self.stage = Stage.BOUND
            return True
        search.push(token_id, text)
        self._search, self.stage = search, Stage.SEARCHING
        return True

    def _opens_or_fits(self, token_id: int) -> bool:
        """The first tokens of a text that is bound, unless it opens thoughts."""
        if self._opening.takes(token_id):
            if self._opening.is_complete:
                self._num_opening = self._opening.num_taken
                self.stage = Stage.THINKING
                self._begin_thoughts()
            return True
        if self._opening.mask is not None and self._opening.mask.admits(token_id):
            self.stage = Stage.BOUND
            return True
        return False

    def _opens(self, token_id: int) -> bool:
        """The first tokens of a text that is not bound, and may open thoughts."""
        assert self._reasoning is not None
        start = self._reasoning.start.encode()
        text = self._opening.text_with(self._tokens.raw_bytes(token_id))
        if text.startswith(start):
            self.stage = Stage.THINKING
            self._begin_thoughts()
            if not self._thinks(None, text[len(start) :]):
                self.stage = Stage.OPENING
                return False
            self._num_opening, self._num_thoughts = len(self._opening.pieces) + 1, 0
            return True
        if start.startswith(text) and len(self._opening.pieces) < MAX_OPENING:
            self._opening.pieces.append((token_id, self._tokens.raw_bytes(token_id)))
            return True
        if self._mask is None:
            self.stage = Stage.FREE
            return True
        search = MarkerSearch(self._markers)
        for piece in self._opening.pieces:
            search.push(*piece)
        begun = b"".join(piece for _, piece in self._opening.pieces)
        return self._answers(token_id, self._tokens.raw_bytes(token_id), search, begun)
