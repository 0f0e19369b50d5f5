"""What binds an answer: a grammar, and where in the text it begins to hold."""

import msgspec

from caravan.grammars.call_prefix import CallPrefix


class Constraint(msgspec.Struct, frozen=True):
    """The only texts that an answer may be: a grammar as `caravan.grammars.compiler` writes and checks it.

    With `after`, everything may come until one of these markers stands in the text, control tokens written
    out; the grammar then describes the text from the first byte of that marker on. Of markers that end at
    one place the longest counts. A token in which a marker ends, and whose rest the grammar forbids, is not
    drawn. A text without any marker may end as it likes.

    With `begins`, the grammar also describes the whole answer, white space in front aside, if that begins so.

    `param` is the field of the request that asks for it, for messages.
    """

    grammar: str
    after: tuple[str, ...] = ()
    begins: CallPrefix | None = None
    param: str = ""

    @property
    def binds_at_once(self) -> bool:
        """Whether the answer has no choice but to keep to the grammar."""
        return not self.after and self.begins is None
