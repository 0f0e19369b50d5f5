"""A response before anything of it has been said: what the request asked and what holds of it."""

import time
import uuid
from typing import Any

from caravan_schemas.built_in_tools import BuiltInTool
from caravan_schemas.common import Usage
from caravan_schemas.responses import ResponseRequest
from caravan_schemas.responses_answers import (
    InputTokensDetails,
    OutputTokensDetails,
    Response,
    ResponseUsage,
    ShownReasoning,
    ShownText,
)
from caravan_schemas.responses_input import ConversationInput, ConversationReference, FlatSchemaFormat
from caravan_schemas.responses_tools import FlatCustom, FlatFunction, FlatTool, Namespace
from caravan_schemas.structured import TextFormat
from caravan_schemas.tools import TextInput

# What only the end tells, and what OpenAI has and this server has not: null, but there.
_NOTHING_YET: dict[str, Any] = dict.fromkeys(("completed_at", "error", "incomplete_details", "usage"))
_NOT_HERE: dict[str, Any] = dict.fromkeys(
    (
        "access_programs",
        "image",
        "input_transformations",
        "moderation",
        "prompt",
        "prompt_cache_diagnostics",
        "prompt_cache_options",
        "tool_usage",
    )
)


def new_id(prefix: str) -> str:
    """A fresh id; ids are random, so nobody learns of others from them."""
    return f"{prefix}_{uuid.uuid4().hex}"


def conversation_of(request: ConversationInput) -> str | None:
    """The id of the conversation that a request is a part of."""
    named = request.conversation
    return named.id if isinstance(named, ConversationReference) else named


def snapshot(
    request: ResponseRequest, response_id: str, *, temperature: float, top_p: float, limit: int | None
) -> Response:
    """The response before its first token, with every field set; `limit` is that of its tokens."""
    text, reasoning = request.text, request.reasoning
    asked, verbosity = (None, None) if text is None else (text.format, text.verbosity)
    if isinstance(asked, FlatSchemaFormat):
        # With what holds where the request does not say, as OpenAI shows it.
        known = {"description": asked.description, "strict": bool(asked.strict)}
        asked = FlatSchemaFormat.model_validate({**asked.model_dump(by_alias=True), **known})
    conversation = conversation_of(request)
    summary = None if reasoning is None else reasoning.summary or reasoning.generate_summary
    return Response(
        id=response_id,
        object="response",
        created_at=int(time.time()),
        status="queued" if request.background else "in_progress",
        background=bool(request.background),
        conversation=None if conversation is None else ConversationReference(id=conversation),
        instructions=request.instructions,
        max_output_tokens=limit,
        max_tool_calls=request.max_tool_calls,
        metadata=request.metadata or {},
        model=request.model,
        output=[],
        parallel_tool_calls=request.parallel_tool_calls is not False,
        previous_response_id=request.previous_response_id,
        prompt_cache_key=request.prompt_cache_key,
        prompt_cache_retention=request.prompt_cache_retention,
        reasoning=ShownReasoning(effort=None if reasoning is None else reasoning.effort, summary=summary),
        safety_identifier=request.safety_identifier,
        service_tier="default",
        temperature=temperature,
        text=ShownText(format=asked or TextFormat(type="text"), verbosity=verbosity or "medium"),
        tool_choice=request.tool_choice or "auto",
        tools=[_shown(tool) for tool in request.tools or () if not isinstance(tool, BuiltInTool)],
        top_logprobs=request.top_logprobs or 0,
        top_p=top_p,
        truncation=request.truncation or "disabled",
        user=request.user,
        **_NOTHING_YET,
        **_NOT_HERE,
    )


def _shown(tool: FlatFunction | FlatCustom | Namespace) -> FlatTool:
    """A tool with the defaults filled in."""
    if isinstance(tool, Namespace):
        return tool.model_copy(update={"tools": [_shown(each) for each in tool.tools]})
    if not isinstance(tool, FlatFunction):
        shown = tool.format or TextInput(type="text")
        return FlatCustom(type="custom", name=tool.name, description=tool.description, format=shown)
    return FlatFunction(
        type="function",
        name=tool.name,
        description=tool.description,
        parameters=tool.parameters,
        strict=bool(tool.strict),
    )


def usage(counts: Usage) -> ResponseUsage:
    """Token counts as responses tell them."""
    cached = counts.prompt_tokens_details.cached_tokens
    details = counts.completion_tokens_details
    return ResponseUsage(
        input_tokens=counts.prompt_tokens,
        input_tokens_details=InputTokensDetails(
            cache_write_tokens=counts.prompt_tokens - cached, cached_tokens=cached
        ),
        output_tokens=counts.completion_tokens,
        output_tokens_details=OutputTokensDetails(
            reasoning_tokens=0 if details is None else details.reasoning_tokens
        ),
        total_tokens=counts.total_tokens,
    )
