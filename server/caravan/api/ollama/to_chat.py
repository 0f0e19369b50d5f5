"""Requests of Ollama's API into chats and text completions, and errors about these back."""

import re
from typing import Any

from caravan_schemas.chat import ChatCompletionRequest
from caravan_schemas.completions import CompletionRequest
from caravan_schemas.messages import Message, SystemMessage, UserMessage
from caravan_schemas.ollama import OllamaAnswerFields, OllamaChatRequest, OllamaGenerateRequest
from caravan_schemas.sampling import AnswerFields
from caravan_schemas.structured import JsonObjectFormat
from caravan_schemas.tools import FunctionTool

from caravan.api.ollama.conversation import content_of, conversation
from caravan.api.ollama.options import decoding, named_option
from caravan.errors import InvalidValueError, UnsupportedParameterError

Translated = ChatCompletionRequest | CompletionRequest

_FORMAT = re.compile(r"^(response_format(\.json_schema)?(\.schema)?|json_schema)\b")
_OF_PROMPT = re.compile(r"messages\b.*")
_IMAGE = re.compile(r"(messages\[\d+\]\.)content(\[\d+\])\.image_url")


def named_in_chat(path: str) -> str:
    """Return the name in a request to `/api/chat` of a field of the chat that was made of it."""
    if path == "reasoning_effort":
        return "think"
    if found := _IMAGE.fullmatch(path):
        return f"{found[1]}images{found[2]}"
    return named_option(path) or _FORMAT.sub("format", path)


def named_in_generate(path: str) -> str:
    """Return the same of a request to `/api/generate`."""
    if found := _IMAGE.fullmatch(path):
        return f"images{found[2]}"
    return "prompt" if _OF_PROMPT.fullmatch(path) else named_in_chat(path)


def chat_of(request: OllamaChatRequest, model: str) -> ChatCompletionRequest:
    """Make the chat for a model of this server. Raises InvalidRequestError over what is not served."""
    tools = [FunctionTool(type="function", function=tool.function) for tool in request.tools or ()]
    chat = _chat(request, model, conversation(request.messages or ()))
    chat.tools = [*tools] or None
    return chat


def generation_of(request: OllamaGenerateRequest, model: str) -> Translated:
    """Make the chat, or the text completion where the prompt is raw or there is a gap to fill."""
    if request.context:
        message = "'context' is not supported by this server. Send the messages to '/api/chat'."
        raise UnsupportedParameterError(message, param="context")
    if request.images and (request.raw or request.suffix):
        raise InvalidValueError("images", "do not go with 'raw' or 'suffix': there is no chat")
    if request.raw or request.suffix:
        return _completion(request, model)
    messages: list[Message] = []
    if request.system:
        messages.append(SystemMessage(role="system", content=request.system))
    content = content_of(request.prompt or "", request.images)
    return _chat(request, model, [*messages, UserMessage(role="user", content=content)])


def _chat(request: OllamaAnswerFields, model: str, messages: list[Message]) -> ChatCompletionRequest:
    values = _common(request, model)
    if request.think is not None:
        level = request.think if isinstance(request.think, str) else None
        values["reasoning_effort"] = level or ("medium" if request.think else "none")
    # Every value has been validated as a part of the request.
    return ChatCompletionRequest.model_construct(
        **values, messages=messages, logprobs=request.logprobs, top_logprobs=request.top_logprobs
    )


def _completion(request: OllamaGenerateRequest, model: str) -> CompletionRequest:
    name = "raw" if request.raw else "suffix"
    for other in ("system", "think"):
        if getattr(request, other):
            raise InvalidValueError(other, f"and '{name}' do not go together: there is no chat")
    if request.raw and request.suffix:
        raise InvalidValueError("suffix", "and 'raw' do not go together: the model has a format for it")
    if request.top_logprobs and not request.logprobs:
        raise InvalidValueError("top_logprobs", "is only allowed when 'logprobs' is true")
    values = _common(request, model)
    # Both names have the same limit there.
    values["max_tokens"] = values.pop("max_completion_tokens", None)
    return CompletionRequest.model_construct(
        **values,
        prompt=request.prompt or "",
        suffix=request.suffix or None,
        logprobs=(request.top_logprobs or 0) if request.logprobs else None,
    )


def _common(request: OllamaAnswerFields, model: str) -> dict[str, Any]:
    """Collect what both kinds have. A model of this server is not asked for by Ollama's name."""
    decoded = decoding(request.options)
    values: dict[str, Any] = {name: getattr(decoded, name) for name in AnswerFields.model_fields}
    values |= {"model": model, "priority": request.priority}
    if request.format == "json":
        values["response_format"] = JsonObjectFormat(type="json_object")
    elif request.format:
        values["json_schema"] = request.format
    return values
