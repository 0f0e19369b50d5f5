"""Text that ends where one of its lines begins with less white space than the request wants."""


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
