"""The parser of models whose messages begin with a line that says for whom they are: Functionary 3.2."""

from caravan.chat.parsing.headed_parser import HeadedParser
from caravan.chat.parsing.incremental_reader import Markers, Steps
from caravan.chat.parsing.tag_parser import attempt
from caravan.chat.tool_formats.functionary import MARK, FunctionaryFormat

_FORMAT = FunctionaryFormat()
_TO_ALL = "all\n"


class FunctionaryParser(HeadedParser):
    """The prompt has written the mark of the first message. These models show no thoughts."""

    def _run(self) -> Steps[None]:
        lines = (_TO_ALL, *(f"{name}\n" for name in self._writer.tools))
        marks = Markers(*(MARK + line for line in lines))
        line = yield from self._reader.accept(*lines)
        while True:
            if line and line != _TO_ALL:
                yield from self._read_call(line)
            mark = yield from self._reader.until(marks, self._writer.content)
            if not mark:
                return
            self._writer.border()
            line = mark.removeprefix(MARK)

    def _read_call(self, line: str) -> Steps[None]:
        calls = _FORMAT.read_named(self._reader, self._writer, line.removesuffix("\n"))
        yield from attempt(self._reader, self._writer, calls, line)
