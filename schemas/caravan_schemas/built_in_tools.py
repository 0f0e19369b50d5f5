"""Tools that other services run on their own machines, by the types under which requests offer them."""

import re
from collections.abc import Container

from pydantic import Field

from caravan_schemas.base import Schema, type_of, type_tag

_NAMES = (
    "apply_patch",
    "bash",
    "browser_search",
    "builtin_function",
    "code_execution",
    "code_interpreter",
    "collections_search",
    "computer",
    "computer_use",
    "document_library",
    "file_search",
    "image_generation",
    "local_shell",
    "mcp",
    "mcp_toolset",
    "memory",
    "programmatic_tool_calling",
    "retrieval",
    "shell",
    "text_editor",
    "tool_search",
    "tool_search_tool_bm25",
    "tool_search_tool_regex",
    "web_fetch",
    "web_search",
    "x_search",
)
# With OpenRouter's prefix, and the tails that tell versions apart at OpenAI and Anthropic.
_PATTERN = re.compile(
    rf"(?:openrouter:)?(?:{'|'.join(_NAMES)})(?:_preview|_premium)?(?:_\d{{8}}|_\d{{4}}_\d\d_\d\d)?"
)


class _BuiltIn(Container[str]):
    def __contains__(self, kind: object) -> bool:
        """Whether a type is that of such a tool."""
        return isinstance(kind, str) and _PATTERN.fullmatch(kind) is not None


BUILT_IN = _BuiltIn()
# A group of the caller's own functions: to leave it out would leave those out.
GROUPS = frozenset({"namespace"})
BUILT_IN_TAG = "<built-in>"


class BuiltInTool(Schema):
    """A tool that another service runs. It is left out, and the header `x-caravan-ignored` says so."""

    type: str = Field(pattern=f"^{_PATTERN.pattern}$", max_length=64)


def tool_tag(value: object) -> str:
    """The tag of a tool among those that may be built in."""
    return BUILT_IN_TAG if type_of(value) in BUILT_IN else type_tag(value)
