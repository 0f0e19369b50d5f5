"""Fields that OpenAI, Anthropic or their peers know and this server does not act on.

Each protocol has its own. Each field has the values that pass, because they ask for nothing or for what has
no effect by its own definition, and the reason. With any other value the request is refused by the field's
name, so that nobody takes a silent default for an answer.
"""

from caravan_schemas.anthropic import MessagesConversation
from caravan_schemas.base import Schema
from caravan_schemas.embeddings import EmbeddingRequest
from caravan_schemas.responses_input import ConversationInput

from caravan.api.validation.neutral_values import (
    ARRAY,
    BOOLEAN,
    CACHE_CONTROL,
    EMPTY,
    FALSE,
    NOTES,
    NULL,
    OBJECT,
    TEXT,
    TRUE,
    Passing,
    Rule,
    one_of,
)
from caravan.api.validation.peer_fields import EMBEDDINGS, PEERS

_ROLES = "Some clients write every message with all fields that any role has."
_PARTS = "Messages are texts, images and sounds."
_KINDS = "Only a part of this type has it, and only users and tools have such parts."
_SECRETS = "Only the service that wrote it can read it."
_CACHED = "A hint for caches and their price. Prefixes are cached without being told."
_ONLY_TEXT = "Answers are text."
_TOOLS = "A tool is a function or a custom tool that the caller runs."

_MESSAGE = {
    "messages[].tool_calls": Rule(EMPTY, _ROLES),
    "messages[].function_call": Rule(NULL, _ROLES),
    "messages[].refusal": Rule(NULL, _ROLES),
    "messages[].reasoning_content": Rule(EMPTY, _ROLES),
    "messages[].content[].refusal": Rule(NULL, _ROLES),
    "messages[].audio": Rule(NULL, _PARTS),
    "messages[].annotations": Rule(ARRAY, "Nothing that the model reads has annotations."),
    "messages[].provider_specific_fields": Rule(NOTES, "LiteLLM's own notes about an answer, if it has any."),
    "messages[].content[].image_url": Rule(NULL, _KINDS),
    "messages[].content[].input_audio": Rule(NULL, _KINDS),
    "messages[].content[].file": Rule(NULL, _PARTS),
    **{
        f"messages[]{place}.{name}": Rule(TEXT, _SECRETS)
        for place in ("", ".content[]", ".tool_calls[]", ".tool_calls[].function")
        for name in ("thought_signature", "thoughtSignature")
    },
    **{
        f"messages[]{place}.{name}": Rule(OBJECT, _SECRETS)
        for place in ("", ".content[]", ".tool_calls[]", ".tool_calls[].function")
        for name in ("extra_content", "provider_metadata")
    },
    "messages[].signature": Rule(TEXT, _SECRETS),
    "messages[].reasoning_signature": Rule(TEXT, _SECRETS),
    "messages[].reasoning_opaque": Rule(TEXT, _SECRETS),
    "messages[].tool_calls[].provider_specific_fields": Rule(OBJECT, _SECRETS),
    "messages[].tool_calls[].function.provider_specific_fields": Rule(OBJECT, _SECRETS),
    "messages[].images": Rule(EMPTY, "Images are parts of the content."),
    "messages[].prefix": Rule(FALSE, "`continue_final_message` says it."),
    "messages[].partial": Rule(FALSE, "`continue_final_message` says it."),
    "messages[].tool_plan": Rule(EMPTY, _ROLES),
    "messages[].is_error": Rule(FALSE, "What a tool says of its failure is its result's text."),
}

_OPENAI = {
    "audio": Rule(NULL, _ONLY_TEXT),
    "max_tool_calls": Rule(NULL, "`parallel_tool_calls` limits calls to one; there are no built-in tools."),
    "modalities": Rule(one_of('`["text"]`', ["text"]), _ONLY_TEXT),
    "moderation": Rule(NULL, "There is no moderation model."),
    "service_tier": Rule(
        one_of("`auto`, `default`", "auto", "default"), "There is one tier; answers say `default`."
    ),
    "web_search_options": Rule(NULL, "The server asks nobody else."),
}

_RESPONSES = {
    "access_programs": Rule(NULL, "It belongs to OpenAI's own service."),
    "context_management": Rule(EMPTY, "Nothing is left out of a conversation."),
    "image": Rule(NULL, _ONLY_TEXT),
    "input[].async": Rule(FALSE, _TOOLS),
    "input[].caller": Rule(one_of('`{"type": "direct"}`', {"type": "direct"}), _TOOLS),
    "input[].created_by": Rule(NULL, "Items have no author but their role."),
    "stream_options.include_usage": Rule(BOOLEAN, "The last event of a response has its usage."),
    "stream_options.continuous_usage_stats": Rule(FALSE, "The last event of a response has its usage."),
    **{
        f"{place}.{name}": rule
        for place in ("tools[]", "tools[].tools[]", "input[].tools[]", "input[].tools[].tools[]")
        for name, rule in (
            ("allowed_callers", Rule(one_of('`["direct"]`', ["direct"]), _TOOLS)),
            ("async", Rule(FALSE, _TOOLS)),
            ("defer_loading", Rule(FALSE, "The model sees all tools from the start.", reported=TRUE)),
            ("output_schema", Rule(NULL, "Results are text.", reported=OBJECT)),
        )
    },
}

# Hints that clients send by habit, whichever the protocol.
_CACHE = {
    **{
        f"{place}cache_control": Rule(CACHE_CONTROL, _CACHED)
        for place in (
            "",
            "messages[].",
            "messages[].content[].",
            "messages[].tool_calls[].",
            "messages[].tool_calls[].function.",
            "tools[].",
            "tools[].function.",
            "functions[].",
            "input[].",
            "input[].content[].",
            "input[].output[].",
            "messages[].content[].content[].",
            "system[].",
        )
    },
    **{
        f"{place}prompt_cache_breakpoint": Rule(OBJECT, _CACHED)
        for place in ("messages[].content[].", "input[].content[].", "input[].output[].")
    },
}

# What of OpenAI's has nothing to act on here.
_LABELS = {
    "client_metadata": Rule(OBJECT, "Labels of the client's own, such as Codex's."),
    "prompt_cache_options": Rule(OBJECT, _CACHED),
    "prompt_cache_key": Rule(TEXT, "A hint for OpenAI's caches. Prefixes are cached without being told."),
    "prompt_cache_retention": Rule(
        one_of("`in_memory`, `in-memory`, `24h`", "in_memory", "in-memory", "24h"),
        "A hint for OpenAI's caches.",
    ),
    "safety_identifier": Rule(TEXT, "A label of the caller's own user."),
}

_UNCITED = one_of('empty, `{"enabled": false}`', [], {}, {"enabled": False})
_FALLBACKS = Passing("any array, `default`", lambda value: isinstance(value, list) or value == "default")

# Of Anthropic's, which its SDK sends back with what it was answered.
_MESSAGES = {
    **{
        f"{place}.citations": Rule(_UNCITED, "Texts cite nothing.")
        for place in ("system[]", "messages[].content[]", "messages[].content[].content[]")
    },
    "messages[].content[].caller": Rule(one_of('`{"type": "direct"}`', {"type": "direct"}), _TOOLS),
    "messages[].content[].toolset_name": Rule(NULL, _TOOLS),
    "messages[].output_config": Rule(EMPTY, "`output_config` is for the whole request.", reported=OBJECT),
    "tools[].allowed_callers": Rule(one_of('`["direct"]`', ["direct"]), _TOOLS),
    "tools[].eager_input_streaming": Rule(BOOLEAN, "The input of a call is always streamed as it comes."),
    "tools[].input_examples": Rule(EMPTY, "Put examples into the description.", reported=ARRAY),
    "output_config.task_budget": Rule(NULL, "Models do not see what is left of it.", reported=OBJECT),
    "billing_policy": Rule(OBJECT, "Nobody is billed."),
    "fallback_credit_token": Rule(TEXT, "Nobody is billed."),
    "compaction": Rule(NULL, "Conversations are not summed up."),
    "safeguards": Rule(EMPTY, "Nobody here judges what a tool is called with.", reported=ARRAY),
    "thinking.block_binding": Rule(OBJECT, "Thoughts that come back are not checked."),
    "diagnostics": Rule(NULL, "`usage` says what was cached.", reported=OBJECT),
    "fallbacks": Rule(_FALLBACKS, "No request is declined for its content, so that none falls back."),
    "user_profile_id": Rule(TEXT, "A label of the caller's own user."),
    "container": Rule(NULL, "The server runs no tools."),
    "mcp_servers": Rule(EMPTY, "The server asks nobody else."),
    "inference_geo": Rule(NULL, "The server is where it is."),
    "speed": Rule(one_of("`standard`", "standard"), "There is one speed."),
}

# What only chats and completions have.
_OF_CHATS = {
    "return_progress": Rule(FALSE, "Comments keep a stream alive until its first token.", reported=TRUE),
    "reasoning_control": Rule(FALSE, "A thought ends by itself or by its budget.", reported=TRUE),
}

NO_EFFECT = _CACHE | _LABELS

# By protocol. Routes of no other have the first.
NEUTRAL_VALUES: dict[str, dict[str, Rule]] = {
    "chat": _MESSAGE | _OPENAI | PEERS | NO_EFFECT,
    "responses": _OPENAI | PEERS | _OF_CHATS | _RESPONSES | NO_EFFECT,
    "messages": PEERS | _OF_CHATS | _MESSAGES | _CACHE,
    "embeddings": _OPENAI | PEERS | EMBEDDINGS | NO_EFFECT,
}


def neutral_values(schema: type[Schema]) -> dict[str, Rule]:
    """Return the table of the protocol that a request is of."""
    if issubclass(schema, MessagesConversation):
        return NEUTRAL_VALUES["messages"]
    if issubclass(schema, EmbeddingRequest):
        return NEUTRAL_VALUES["embeddings"]
    return NEUTRAL_VALUES["responses" if issubclass(schema, ConversationInput) else "chat"]


# Kinds of content parts that OpenAI knows; a part of such a kind is unsupported, of any other a mistake.
PART_TYPES = frozenset(
    {"image_url", "input_audio", "file", "refusal", "input_image", "video_url", "audio_url"}
)
