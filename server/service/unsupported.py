"""Fields that OpenAI or its peers know and this server does not have.

Each has the values that ask for nothing; with any other the request is refused by the field's name, so that
nobody takes a silent default for an answer.
"""

from collections.abc import Callable

Neutral = Callable[[object], bool]


def _one_of(*values: object) -> Neutral:
    """Null or one of `values`; JSON's true is not its 1."""

    def test(value: object) -> bool:
        return value is None or any(
            value == v and isinstance(value, bool) == isinstance(v, bool) for v in values
        )

    return test


def _text(value: object) -> bool:
    return value is None or isinstance(value, str)


def _labels(value: object) -> bool:
    """Null or an object of texts, in which JSON has no other keys."""
    return value is None or (isinstance(value, dict) and all(isinstance(v, str) for v in value.values()))


_null = _one_of()
_false = _one_of(False)
_empty = _one_of([], {}, "")
_zero = _one_of(0)
_one = _one_of(1)

_MESSAGE: dict[str, Neutral] = {
    # Some clients write every message with all fields that any role has.
    "messages[].tool_calls": _empty,
    "messages[].function_call": _null,
    "messages[].refusal": _null,
    "messages[].reasoning_content": _empty,
    "messages[].content[].refusal": _null,
    "messages[].audio": _null,
    "messages[].annotations": _empty,
    "messages[].content[].image_url": _null,
    "messages[].content[].input_audio": _null,
    "messages[].content[].file": _null,
    "messages[].content[].cache_control": _null,
    "messages[].content[].prompt_cache_breakpoint": _null,
}

_OPENAI: dict[str, Neutral] = {
    "audio": _null,
    "modalities": _one_of(["text"]),
    "moderation": _null,
    "prediction": _null,
    "prompt_cache_options": _null,
    "service_tier": _one_of("auto", "default"),
    "stream_options.include_obfuscation": _false,
    "verbosity": _one_of("medium"),
    "web_search_options": _null,
}

_PEERS: dict[str, Neutral] = {
    "add_special_tokens": _null,
    "cache_prompt": _one_of(True),
    "cache_salt": _null,
    "chat_template": _null,
    "documents": _empty,
    "id_slot": _null,
    "length_penalty": _one,
    "lora": _empty,
    "n_keep": _zero,
    "n_predict": _null,
    "n_probs": _zero,
    "penalize_nl": _null,
    "priority": _zero,
    "skip_special_tokens": _one_of(True),
    "t_max_predict_ms": _null,
    "truncate_prompt_tokens": _null,
    "use_beam_search": _false,
}

_RESPONSES: dict[str, Neutral] = {
    "access_programs": _null,
    "context_management": _empty,
    "conversation": _null,
    "image": _null,
    "input[].async": _false,
    "input[].caller": _one_of({"type": "direct"}),
    "input[].content[].prompt_cache_breakpoint": _null,
    "input[].created_by": _null,
    "input[].namespace": _null,
    "input[].output[].prompt_cache_breakpoint": _null,
    "tools[].allowed_callers": _one_of(["direct"]),
    "tools[].async": _false,
    "tools[].defer_loading": _false,
    "tools[].output_schema": _null,
}

# What clients of OpenAI send by habit and what has nothing to act on here: labels of the caller, and wishes
# about storage and caches of OpenAI's own. Nothing is stored, and prefixes are cached without being told.
_NO_EFFECT: dict[str, Neutral] = {
    "metadata": _labels,
    "prompt_cache_key": _text,
    "prompt_cache_retention": _one_of("in_memory", "in-memory", "24h"),
    "safety_identifier": _text,
    "store": _one_of(True, False),
}

NEUTRAL_VALUES: dict[str, Neutral] = _MESSAGE | _OPENAI | _PEERS | _RESPONSES | _NO_EFFECT

# Kinds of content parts that OpenAI knows; a part of such a kind is unsupported, of any other a mistake.
PART_TYPES = frozenset(
    {"image_url", "input_audio", "file", "refusal", "input_image", "video_url", "audio_url"}
)
