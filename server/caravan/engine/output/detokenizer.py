"""Tokens to text: whole characters, never a stop string nor the beginning of one, and no line with less white
space before it than the request wants.
"""

import codecs

from caravan.engine.output.stop_strings import StopStrings
from caravan.engine.params import AnswerLayout, Reasoning, SamplingParams
from caravan.grammars.token_table import TokenTable


class Indentation:
    """Text in, in pieces, each at once out again, up to where a line but the first is indented by less than
    `least` spaces and tabs. An empty line is one, too.
    """

    def __init__(self, least: int) -> None:
        self._least = least
        # Of the line that is beginning; None in the middle of one.
        self._num_missing: int | None = None
        self.has_ended = False

    def passed(self, text: str, *, may_end: bool = True) -> str:
        """Take a piece and return what of it is text, which may end in it with `may_end`."""
        at = 0
        while self._least:
            if self._num_missing is not None:
                rest = text[at:]
                num_spaces = len(rest) - len(rest.lstrip(" \t"))
                self._num_missing -= num_spaces
                at += num_spaces
                if at == len(text):
                    break
                if self._num_missing > 0 and may_end:
                    self.has_ended = True
                    return text[:at]
                self._num_missing = None
            at = text.find("\n", at) + 1
            if not at:
                break
            self._num_missing = self._least
        return text


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
