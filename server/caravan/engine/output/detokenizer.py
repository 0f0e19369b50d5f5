"""Tokens to text: whole characters, and never a stop string nor the beginning of one."""

import codecs

from caravan.engine.output.indentation import Indentation
from caravan.engine.output.stop_strings import StopStrings
from caravan.engine.params import AnswerLayout, Reasoning, SamplingParams
from caravan.grammars.token_table import TokenTable


class Detokenizer:
    """The text of one sequence as it grows; constant work per token.

    Where it ends by a stop string, `StopStrings` says, and where by a line, `Indentation`.
    Control tokens have no text unless they are among `shown_token_ids`. `num_decoded` counts the characters
    that the tokens came to, held ones included.
    """

    def __init__(
        self,
        table: TokenTable,
        params: SamplingParams,
        shown_token_ids: tuple[int, ...] = (),
        reasoning: Reasoning | None = None,
        layout: AnswerLayout | None = None,
    ) -> None:
        self._table = table
        self._shown = frozenset(shown_token_ids)
        self._search = StopStrings(params, reasoning, layout) if params.stop else None
        self._indentation = Indentation(params.n_indent)
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self.num_decoded = 0

    @property
    def stopped(self) -> bool:
        """Whether a stop string has ended the text."""
        return self._search is not None and self._search.stopped

    @property
    def stop_string(self) -> str | None:
        """The stop string that has ended the text."""
        return None if self._search is None else self._search.found

    @property
    def is_cut(self) -> bool:
        """Whether the last tokens are no part of the text."""
        return self.stopped or self.is_outdented

    @property
    def is_outdented(self) -> bool:
        """Whether a line that is not indented enough has ended the text."""
        return self._indentation.has_ended

    def push(self, token_id: int, *, may_stop: bool = True) -> str:
        """Take a token, return the text that it lets go; at the stop string that ends it, `stopped` is set.

        Without `may_stop`, no stop string may begin in the token's text.
        """
        is_shown = token_id in self._shown
        text = self._decoder.decode(
            self._table.raw_bytes(token_id) if is_shown else self._table.token_bytes(token_id)
        )
        self.num_decoded += len(text)
        if self._search is not None:
            text = self._search.push(text, may_stop=may_stop)
        return self._indentation.passed(text, may_end=may_stop)

    def finish(self) -> str:
        """Return the text held back as a possible stop string; an unfinished character is dropped."""
        if self._search is None or self.is_outdented:
            return ""
        return self._indentation.passed(self._search.finish())
