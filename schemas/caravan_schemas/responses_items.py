"""Items of the Responses API: what a conversation is made of, as clients send it."""

from typing import Annotated, Any, Literal

from pydantic import Field

from caravan_schemas.base import Schema, by_type, string_or_array, type_of, type_tag, without
from caravan_schemas.media import DETAIL, IMAGE_URL, AudioPart, Detail
from caravan_schemas.responses_tools import FlatTool
from caravan_schemas.tools import MAX_TOOLS

# Far beyond any conversation; they bound the work that one body can cause.

MAX_ITEMS = 32768
MAX_PARTS = 4096

ItemStatus = Literal["in_progress", "completed", "incomplete"]

_OTHER_PARTS = frozenset({"input_file", "computer_screenshot"})
_NO_OTHERS = without(_OTHER_PARTS, "text, images and sounds are")
# Calls and results of OpenAI's own tools, and what else its models alone can read.
_OTHER_ITEMS = frozenset(
    {
        "apply_patch_call",
        "apply_patch_call_output",
        "code_interpreter_call",
        "compaction_trigger",
        "computer_call",
        "computer_call_output",
        "configuration_update",
        "file_search_call",
        "image_generation_call",
        "local_shell_call",
        "local_shell_call_output",
        "mcp_approval_request",
        "mcp_approval_response",
        "mcp_call",
        "mcp_list_tools",
        "program",
        "program_output",
        "shell_call",
        "shell_call_output",
        "tool_search_call",
        "tool_search_output",
        "web_search_call",
    }
)


class InputText(Schema):
    """A piece of text for the model."""

    type: Literal["input_text"]
    text: str


class PastText(Schema):
    """A piece of text that the model wrote. Of what a client sends back, only the text is read."""

    type: Literal["output_text"]
    text: str
    annotations: list[Any] | None = None
    logprobs: list[Any] | None = None
    parsed: Any = Field(default=None, description="Not read: what OpenAI's SDK made of the content.")


class PastRefusal(Schema):
    """A piece of the model's refusal."""

    type: Literal["refusal"]
    refusal: str


class InputImage(Schema):
    """An image, for models with a projector."""

    type: Literal["input_image"]
    image_url: str | None = Field(default=None, description=IMAGE_URL)
    file_id: str | None = Field(default=None, description="Only null: files are not read as images.")
    detail: Detail | None = Field(default=None, description=DETAIL)


InputPart = Annotated[
    InputText | PastText | PastRefusal | InputImage | AudioPart,
    by_type("part_kind"),
    _NO_OTHERS,
]
MessageContent = Annotated[
    str | Annotated[list[InputPart], Field(max_length=MAX_PARTS, fail_fast=True)],
    string_or_array("content_kind", "parts"),
]
OutputPart = Annotated[InputText | InputImage, by_type("part_kind"), _NO_OTHERS]
CallOutput = Annotated[
    str | Annotated[list[OutputPart], Field(max_length=MAX_PARTS, fail_fast=True)],
    string_or_array("content_kind", "parts"),
]


class InputItem(Schema):
    """What all items may have, if clients send back those of an earlier response."""

    id: str | None = None
    status: ItemStatus | None = None


class InputMessage(InputItem):
    """A turn of the conversation."""

    type: Literal["message"] | None = None
    role: Literal["user", "assistant", "system", "developer"]
    content: MessageContent
    phase: Literal["commentary", "final_answer"] | None = Field(default=None, description="Not read.")


class SummaryText(Schema):
    """A piece of a thought's summary."""

    type: Literal["summary_text"]
    text: str


class ReasoningText(Schema):
    """A piece of a thought."""

    type: Literal["reasoning_text"]
    text: str


class PastReasoning(InputItem):
    """A thought.

    The model sees it again where its chat template shows it, or its summary if there is no more.
    """

    type: Literal["reasoning"]
    summary: list[SummaryText] = Field(default=[], max_length=MAX_PARTS)
    content: list[ReasoningText] | None = Field(default=None, max_length=MAX_PARTS)
    encrypted_content: str | None = Field(default=None, description="Only null: nobody here could read it.")


class PastFlatCall(InputItem):
    """A call of a function in an earlier turn."""

    type: Literal["function_call"]
    call_id: str
    name: str
    namespace: str | None = None
    arguments: str
    parsed_arguments: Any = Field(default=None, description="Not read: `arguments` has the same.")


class FlatCallOutput(InputItem):
    """What a function returned. Its name is read where its call is not in the conversation."""

    type: Literal["function_call_output"]
    call_id: str | None = None
    name: str | None = None
    namespace: str | None = None
    output: CallOutput


class PastFlatCustomCall(InputItem):
    """A call of a custom tool in an earlier turn."""

    type: Literal["custom_tool_call"]
    call_id: str
    name: str
    namespace: str | None = None
    input: str


class FlatCustomCallOutput(InputItem):
    """What a custom tool returned."""

    type: Literal["custom_tool_call_output"]
    call_id: str
    output: CallOutput


class AdditionalTools(InputItem):
    """Tools that the model may call, beside those of the request."""

    type: Literal["additional_tools"]
    role: Literal["developer"]
    tools: list[FlatTool] = Field(max_length=MAX_TOOLS, fail_fast=True)


class Compaction(InputItem):
    """What `POST /v1/responses/compact` made of the conversation before it."""

    type: Literal["compaction"]
    encrypted_content: str


class ItemReference(Schema):
    """An item of a stored response, by its id."""

    type: Literal["item_reference"] | None = None
    id: str


def _item_tag(value: object) -> str:
    if type_of(value) is not None:
        return type_tag(value)
    if isinstance(value, InputMessage) or (isinstance(value, dict) and "role" in value):
        return "<message>"
    return "<item_reference>" if isinstance(value, dict | ItemReference) else "<other>"


Item = Annotated[
    InputMessage
    | PastReasoning
    | PastFlatCall
    | FlatCallOutput
    | PastFlatCustomCall
    | FlatCustomCallOutput
    | AdditionalTools
    | Compaction
    | ItemReference,
    by_type("item_kind", tag=_item_tag),
    without(_OTHER_ITEMS, "messages, reasoning, and calls of functions and custom tools are"),
]
Input = Annotated[
    str | Annotated[list[Item], Field(min_length=1, max_length=MAX_ITEMS, fail_fast=True)],
    string_or_array("input_kind", "items"),
]
