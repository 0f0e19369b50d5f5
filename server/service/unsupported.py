"""Fields that OpenAI or its peers know and this server does not act on.

Each has the values that pass, because they ask for nothing or for what has no effect by its own definition,
and the reason. With any other value the request is refused by the field's name, so that nobody takes a silent
default for an answer.
"""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Passing:
    """Values that pass besides null; `words` says which."""

    words: str
    test: Callable[[object], bool]

    def __call__(self, value: object) -> bool:
        """Whether a value passes."""
        return value is None or self.test(value)


@dataclass(frozen=True)
class Rule:
    """What passes of a field, and why nothing else does, or why what passes has no effect."""

    passing: Passing
    reason: str

    def __call__(self, value: object) -> bool:
        """Whether a value passes."""
        return self.passing(value)


def _one_of(words: str, *values: object) -> Passing:
    """One of `values`; JSON's true is not its 1."""

    def test(value: object) -> bool:
        return any(value == v and isinstance(value, bool) == isinstance(v, bool) for v in values)

    return Passing(words, test)


def _is_labels(value: object) -> bool:
    """An object of texts, in which JSON has no other keys."""
    return isinstance(value, dict) and all(isinstance(v, str) for v in value.values())


def _is_prediction(value: object) -> bool:
    """A text or text parts, as OpenAI's schema has them."""
    if not isinstance(value, dict) or set(value) != {"type", "content"} or value["type"] != "content":
        return False
    content = value["content"]
    if isinstance(content, list):
        return all(_is_labels(part) and {"type", "text"} == set(part) for part in content)
    return isinstance(content, str)


def _says_nothing(value: object) -> bool:
    return isinstance(value, dict) and all(v is None for v in value.values())


_NULL = _one_of("")
_FALSE = _one_of("false", False)
_TRUE = _one_of("true", True)
_BOOLEAN = _one_of("true, false", True, False)
_EMPTY = _one_of("empty", [], {}, "")
_ZERO = _one_of("0", 0)
_ONE = _one_of("1", 1)
_TEXT = Passing("any text", lambda value: isinstance(value, str))
_LABELS = Passing("an object of texts", _is_labels)
_PREDICTION = Passing("a `content` prediction", _is_prediction)
_NOTES = Passing("an object of nulls", _says_nothing)

_ROLES = "Some clients write every message with all fields that any role has."
_PARTS = "Messages are text."
_ONLY_TEXT = "Answers are text."
_TOOLS = "A tool is a function or a custom tool that the caller runs."

_MESSAGE = {
    "messages[].tool_calls": Rule(_EMPTY, _ROLES),
    "messages[].function_call": Rule(_NULL, _ROLES),
    "messages[].refusal": Rule(_NULL, _ROLES),
    "messages[].reasoning_content": Rule(_EMPTY, _ROLES),
    "messages[].content[].refusal": Rule(_NULL, _ROLES),
    "messages[].audio": Rule(_NULL, _PARTS),
    "messages[].annotations": Rule(_EMPTY, "Nothing that the model reads has annotations."),
    "messages[].provider_specific_fields": Rule(
        _NOTES, "LiteLLM's own notes about an answer, if it has any."
    ),
    "messages[].content[].image_url": Rule(_NULL, _PARTS),
    "messages[].content[].input_audio": Rule(_NULL, _PARTS),
    "messages[].content[].file": Rule(_NULL, _PARTS),
    "messages[].content[].cache_control": Rule(_NULL, "Prefixes are cached without being told."),
    "messages[].content[].prompt_cache_breakpoint": Rule(_NULL, "Prefixes are cached without being told."),
}

_OPENAI = {
    "audio": Rule(_NULL, _ONLY_TEXT),
    "max_tool_calls": Rule(_NULL, "`parallel_tool_calls` limits calls to one; there are no built-in tools."),
    "modalities": Rule(_one_of('`["text"]`', ["text"]), _ONLY_TEXT),
    "moderation": Rule(_NULL, "There is no moderation model."),
    "prompt_cache_options": Rule(_NULL, "Prefixes are cached without being told."),
    "service_tier": Rule(
        _one_of("`auto`, `default`", "auto", "default"), "There is one tier; answers say `default`."
    ),
    "web_search_options": Rule(_NULL, "The server asks nobody else."),
}

_PEERS = {
    "chat_template": Rule(_NULL, "The template is the model's, or the operator's choice."),
    "documents": Rule(_EMPTY, "Put documents into messages."),
    "id_slot": Rule(_NULL, "There are no slots: sequences share one memory."),
    "include_reasoning": Rule(_TRUE, "`reasoning_effort` and `reasoning_format` say more."),
    "keep_alive": Rule(_NULL, "The operator's settings say how long models stay loaded."),
    "length_penalty": Rule(_ONE, "It belongs to beam search."),
    "logits_processors": Rule(_EMPTY, "Requests bring no code."),
    "lora": Rule(_EMPTY, "Adapters are not loaded."),
    "mm_processor_kwargs": Rule(_EMPTY, _PARTS),
    "n_discard": Rule(_ZERO, "A full context ends the text; nothing is shifted out of it."),
    "n_keep": Rule(_ZERO, "A full context ends the text; nothing is shifted out of it."),
    "options": Rule(_EMPTY, "Decoding parameters stand at the top of the body."),
    "penalize_nl": Rule(_NULL, "llama.cpp has dropped it."),
    "post_sampling_probs": Rule(_FALSE, "Log probabilities are those before truncation."),
    "priority": Rule(_ZERO, "The caller's key has a priority."),
    "prompt_embeds": Rule(_NULL, "Prompts are text or token ids."),
    "response_fields": Rule(_EMPTY, "Answers have OpenAI's fields."),
    "return_tokens": Rule(_FALSE, "`return_token_ids` says it."),
    "return_tokens_as_token_ids": Rule(_FALSE, "Tokens are shown as OpenAI shows them."),
    "skip_special_tokens": Rule(_TRUE, "Control tokens are no part of an answer's text."),
    "spaces_between_special_tokens": Rule(_BOOLEAN, "Without special tokens in the text it has no effect."),
    "stream_options.continuous_usage_stats": Rule(_FALSE, "Usage is in the last chunk, when it is exact."),
    "t_max_predict_ms": Rule(_NULL, "`max_time` says it."),
    "timings_per_token": Rule(_FALSE, "`/metrics` has times."),
    "use_beam_search": Rule(_FALSE, "Texts are drawn, by `best_of` the best of several."),
}

_RESPONSES = {
    "access_programs": Rule(_NULL, "It belongs to OpenAI's own service."),
    "context_management": Rule(_EMPTY, "Nothing is left out of a conversation."),
    "conversation": Rule(_NULL, "`previous_response_id` goes on with a conversation."),
    "image": Rule(_NULL, _ONLY_TEXT),
    "input[].async": Rule(_FALSE, _TOOLS),
    "input[].caller": Rule(_one_of('`{"type": "direct"}`', {"type": "direct"}), _TOOLS),
    "input[].content[].prompt_cache_breakpoint": Rule(_NULL, "Prefixes are cached without being told."),
    "input[].created_by": Rule(_NULL, "Items have no author but their role."),
    "input[].namespace": Rule(_NULL, _TOOLS),
    "input[].output[].prompt_cache_breakpoint": Rule(_NULL, "Prefixes are cached without being told."),
    "tools[].allowed_callers": Rule(_one_of('`["direct"]`', ["direct"]), _TOOLS),
    "tools[].async": Rule(_FALSE, _TOOLS),
    "tools[].defer_loading": Rule(_FALSE, _TOOLS),
    "tools[].output_schema": Rule(_NULL, _TOOLS),
}

# What clients send by habit and what has nothing to act on here.
NO_EFFECT = {
    "metadata": Rule(_LABELS, "A label for OpenAI's store of completions; nothing is stored."),
    "prediction": Rule(_PREDICTION, "By definition it changes speed alone; usage counts no accepted tokens."),
    "prompt_cache_key": Rule(_TEXT, "A hint for OpenAI's caches. Prefixes are cached without being told."),
    "prompt_cache_retention": Rule(
        _one_of("`in_memory`, `in-memory`, `24h`", "in_memory", "in-memory", "24h"),
        "A hint for OpenAI's caches.",
    ),
    "safety_identifier": Rule(_TEXT, "A label of the caller's own user."),
    "store": Rule(_BOOLEAN, "Chat completions are not stored."),
}

NEUTRAL_VALUES: dict[str, Rule] = _MESSAGE | _OPENAI | _PEERS | _RESPONSES | NO_EFFECT

# Kinds of content parts that OpenAI knows; a part of such a kind is unsupported, of any other a mistake.
PART_TYPES = frozenset(
    {"image_url", "input_audio", "file", "refusal", "input_image", "video_url", "audio_url"}
)
