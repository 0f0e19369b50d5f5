"""Which fields of its own types OpenAI fills, and whether what comes over the wire fills them, too.

A type that is not listed has all its fields, and none of them null. Types are called by module and name.
"""

from collections.abc import Container, Iterator, Mapping
from typing import Any

from pydantic import BaseModel

# What OpenAI leaves out where there is nothing to say.
LEFT_OUT: Mapping[str, frozenset[str]] = {
    "chat_completion.ChatCompletion": frozenset({"metadata", "moderation"}),
    "chat_completion_message.ChatCompletionMessage": frozenset({"audio", "function_call", "tool_calls"}),
    "chat_completion_store_message.ChatCompletionStoreMessage": frozenset(
        {"annotations", "audio", "function_call", "tool_calls"}
    ),
    "chat_completion_chunk.ChatCompletionChunk": frozenset({"moderation", "obfuscation", "usage"}),
    # A delta has what is new.
    "chat_completion_chunk.ChoiceDelta": frozenset(
        {"audio", "content", "function_call", "refusal", "role", "tool_calls"}
    ),
    "chat_completion_chunk.ChoiceDeltaToolCall": frozenset({"id", "function", "type"}),
    "chat_completion_chunk.ChoiceDeltaToolCallFunction": frozenset({"name"}),
    "chat_completion_chunk.ChoiceDeltaFunctionCall": frozenset({"name"}),
    # The usage of a text comes with the whole, and with the last chunk.
    "completion.Completion": frozenset({"usage"}),
    "completion_usage.PromptTokensDetails": frozenset({"cache_write_tokens", "text_tokens"}),
    "completion_usage.CompletionTokensDetails": frozenset({"text_tokens"}),
    "model.Model": frozenset({"shutdown_date"}),
    "error_object.ErrorObject": frozenset({"misalignment"}),
    "response_error.ResponseError": frozenset({"misalignment", "param", "type"}),
    "response_usage.InputTokensDetails": frozenset({"cache_write_tokens_details"}),
    "response_output_message.ResponseOutputMessage": frozenset({"phase"}),
    "message.Message": frozenset({"phase"}),
    "response_reasoning_item.ResponseReasoningItem": frozenset({"encrypted_content"}),
    "response_function_tool_call.ResponseFunctionToolCall": frozenset({"async_", "caller", "namespace"}),
    "response_function_tool_call_item.ResponseFunctionToolCallItem": frozenset(
        {"async_", "caller", "created_by", "namespace"}
    ),
    "response_function_tool_call_output_item.ResponseFunctionToolCallOutputItem": frozenset(
        {"caller", "created_by", "name", "namespace"}
    ),
    "response_custom_tool_call.ResponseCustomToolCall": frozenset({"async_", "caller", "namespace"}),
    "response_custom_tool_call_item.ResponseCustomToolCallItem": frozenset(
        {"async_", "caller", "created_by", "namespace"}
    ),
    "response_custom_tool_call_output_item.ResponseCustomToolCallOutputItem": frozenset(
        {"caller", "created_by"}
    ),
    "response_compaction_item.ResponseCompactionItem": frozenset({"created_by"}),
    "response_reasoning_summary_part_done_event.ResponseReasoningSummaryPartDoneEvent": frozenset({"status"}),
    "response_input_text.ResponseInputText": frozenset({"prompt_cache_breakpoint"}),
    "chat_completion_content_part_text.ChatCompletionContentPartText": frozenset({"prompt_cache_breakpoint"}),
    "reasoning.Reasoning": frozenset({"context", "generate_summary", "mode"}),
    "function_tool.FunctionTool": frozenset({"allowed_callers", "async_", "defer_loading", "output_schema"}),
    "custom_tool.CustomTool": frozenset({"allowed_callers", "async_", "defer_loading"}),
    "namespace_tool.ToolFunction": frozenset({"allowed_callers", "async_", "defer_loading", "output_schema"}),
}

# What OpenAI sends as null where there is nothing to say.
NULL: Mapping[str, frozenset[str]] = {
    "batch.Batch": frozenset(
        {
            *(
                "cancelled_at",
                "cancelling_at",
                "completed_at",
                "error_file_id",
                "errors",
                "expired_at",
                "failed_at",
            ),
            *("finalizing_at", "in_progress_at", "metadata", "model", "output_file_id"),
        }
    ),
    "file_object.FileObject": frozenset({"status_details"}),
    "chat_completion.Choice": frozenset({"logprobs"}),
    "chat_completion.ChoiceLogprobs": frozenset({"refusal"}),
    "chat_completion_message.ChatCompletionMessage": frozenset({"content", "refusal"}),
    "chat_completion_store_message.ChatCompletionStoreMessage": frozenset(
        {"content", "content_parts", "refusal"}
    ),
    "chat_completion_token_logprob.ChatCompletionTokenLogprob": frozenset({"bytes"}),
    "chat_completion_token_logprob.TopLogprob": frozenset({"bytes"}),
    "chat_completion_chunk.ChatCompletionChunk": frozenset({"usage"}),
    "chat_completion_chunk.Choice": frozenset({"finish_reason", "logprobs"}),
    "chat_completion_chunk.ChoiceLogprobs": frozenset({"refusal"}),
    "chat_completion_chunk.ChoiceDelta": frozenset({"content", "refusal"}),
    "completion.Completion": frozenset({"usage"}),
    "completion_choice.CompletionChoice": frozenset({"logprobs"}),
    "error_object.ErrorObject": frozenset({"code", "param"}),
    "response_error_event.ResponseErrorEvent": frozenset({"code", "param"}),
    "reasoning.Reasoning": frozenset({"effort", "summary"}),
    "function_tool.FunctionTool": frozenset({"description"}),
    "custom_tool.CustomTool": frozenset({"description"}),
    "namespace_tool.ToolFunction": frozenset({"description"}),
    "response_format_text_json_schema_config.ResponseFormatTextJSONSchemaConfig": frozenset({"description"}),
    "response_item_list.ResponseItemList": frozenset({"first_id", "last_id"}),
    "response.Response": frozenset(
        {
            # What only the end tells, and what the request did not say.
            *("completed_at", "error", "incomplete_details", "usage"),
            *("instructions", "max_output_tokens", "max_tool_calls", "previous_response_id"),
            *("prompt_cache_key", "prompt_cache_retention", "safety_identifier", "user"),
            # What OpenAI has and this server has not.
            *("access_programs", "conversation", "image", "input_transformations", "moderation", "prompt"),
            *("prompt_cache_diagnostics", "prompt_cache_options", "tool_usage"),
        }
    ),
}


def check(kind: type[BaseModel], value: dict[str, Any], *, beyond: Container[str] = ()) -> BaseModel:
    """Hold a document against a type of OpenAI's; it may have fields `beyond` OpenAI's."""
    read = kind.model_validate(value, strict=True)
    found = list(faults(read, value, beyond))
    assert not found, found
    return read


def faults(
    model: BaseModel, value: dict[str, Any], beyond: Container[str] = (), path: str = ""
) -> Iterator[str]:
    """What is missing or null in `value`, which was read as `model`, and what it has besides."""
    kind = f"{type(model).__module__.rpartition('.')[2]}.{type(model).__name__}"
    known = set()
    for name, field in type(model).model_fields.items():
        written = field.alias or name
        known.add(written)
        where = f"{path}.{written}"
        if written not in value:
            if name not in LEFT_OUT.get(kind, ()):
                yield f"{where} of {kind} is missing"
        elif value[written] is None:
            if name not in NULL.get(kind, ()):
                yield f"{where} of {kind} is null"
        else:
            yield from _inside(getattr(model, name), value[written], beyond, where)
    others = (name for name in value if name not in known and name not in beyond)
    yield from (f"{path}.{name} is not {kind}'s" for name in others)


def _inside(held: object, raw: Any, beyond: Container[str], path: str) -> Iterator[str]:  # noqa: ANN401
    if isinstance(held, BaseModel):
        yield from faults(held, raw, beyond, path)
    elif isinstance(held, list):
        for index, (member, written) in enumerate(zip(held, raw, strict=True)):
            yield from _inside(member, written, beyond, f"{path}[{index}]")
