"""Calls and tools as text, for templates that show none: the way in which the model writes calls itself."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from caravan.chat.rendering.turns import Call

_INTRODUCTION = """\
# Tools

You may call these functions, which are described in JSON:

{tools}

A call is written like this, with the function's name and its arguments:

{example}"""


class CallText(NamedTuple):
    """How calls are written: `before`, the name, `between`, the arguments in JSON, `after`.

    `opening` and `closing` are around each call, or around all with `is_list`. A `pythonic` call is one of
    Python, with keywords. The `introduction` has places for tools and an example.
    """

    opening: str = "<tool_call>\n"
    closing: str = "\n</tool_call>"
    separator: str = "\n"
    before: str = '{"name": "'
    between: str = '", "arguments": '
    after: str = "}"
    is_list: bool = False
    pythonic: bool = False
    introduction: str = _INTRODUCTION

    def write(self, calls: Iterable[Call]) -> str:
        """The calls as one text."""
        written = [self._call(call) for call in calls]
        if self.is_list:
            return f"{self.opening}{self.separator.join(written)}{self.closing}"
        return self.separator.join(f"{self.opening}{text}{self.closing}" for text in written)

    def introduce(self, tools: Sequence[Mapping[str, Any]]) -> str:
        """Write a text that tells a model of its tools, and how to call them."""
        shown = "\n".join(json.dumps(tool, ensure_ascii=False) for tool in tools)
        example = self.write([Call("", "NAME", {"PARAMETER": "VALUE"})])
        before, after = self.introduction.replace("{example}", example).split("{tools}")
        return f"{before}{shown}{after}"

    def _call(self, call: Call) -> str:
        if self.pythonic:
            keywords = (f"{name}={_python(value)}" for name, value in call.arguments.items())
            return f"{call.name}({', '.join(keywords)})"
        arguments = json.dumps(call.arguments, ensure_ascii=False)
        return f"{self.before}{call.name}{self.between}{arguments}{self.after}"


def _python(value: object) -> str:
    """A JSON value as Python writes it, but with the strings of JSON."""
    if value is None or isinstance(value, bool):
        return repr(value)
    if isinstance(value, list):
        return f"[{', '.join(map(_python, value))}]"
    if isinstance(value, Mapping):
        pairs = (f"{json.dumps(key, ensure_ascii=False)}: {_python(item)}" for key, item in value.items())
        return f"{{{', '.join(pairs)}}}"
    return json.dumps(value, ensure_ascii=False)
