"""Fields of llama.cpp, vLLM and others that this server does not act on, each with the values that pass.

Clients that know many servers send all of these with every request, most of them turned off. Names that
others have for fields of this server are here, too, so that nothing they ask for is lost without a word.
"""

from caravan_schemas.ollama_options import WITHOUT_EFFECT

from caravan.api.validation.neutral_values import (
    ARRAY,
    BOOLEAN,
    EMPTY,
    FALSE,
    INTEGER,
    NULL,
    NUMBER,
    OFF,
    ONE,
    PLAIN_REASONING,
    TEXT,
    TRUE,
    ZERO,
    Passing,
    Rule,
    one_of,
)

_PARTS = "Images are parts of messages."
_NO_SUCH_SAMPLER = "There is no such sampler; `samplers` names those that there are."
_SHIFT = "A full context ends the text; nothing is shifted out of it."
_TEMPLATE = "`chat_template_kwargs` sets the template's variables."
_OPERATOR = "It is the operator's setting."
_ONE_BACKEND = "There is one, and it is exact."
_WHITE_SPACE = "White space is the schema's compiler's matter."
_NO_DETECTION = "`max_tokens` ends a text that repeats itself, and DRY acts against that: `dry_multiplier`."


def _says(names: str) -> str:
    return f"{names} says it."


def _all(names: tuple[str, ...], passing: Passing, reason: str) -> dict[str, Rule]:
    return {name: Rule(passing, reason) for name in names}


def _named(names: tuple[str, ...], passing: Passing, *same_as: str) -> dict[str, Rule]:
    """Make the rules of other names for fields of this server; the same value passes under both names."""
    return {name: Rule(passing, _says(f"`{same_as[0]}`"), same_as) for name in names}


_LLAMA_CPP = {
    "backend_sampling": Rule(BOOLEAN, "Tokens are drawn outside of the graph."),
    "chat_template": Rule(NULL, "The template is the model's, or the operator's choice."),
    "embd_normalize": Rule(one_of("2", 2), "Vectors have length 1."),
    "grammar_lazy": Rule(FALSE, "`tools` constrain calls from their marker on by themselves."),
    "grammar_triggers": Rule(EMPTY, "`tools` constrain calls from their marker on by themselves."),
    "id_slot": Rule(one_of("-1", -1), "There are no slots: sequences share one memory.", reported=INTEGER),
    "image_data": Rule(EMPTY, _PARTS),
    **_all(("prompt.multimodal_data", "prompt[].multimodal_data"), EMPTY, _PARTS),
    "n_cache_reuse": Rule(INTEGER, "Prefixes are cached without being told."),
    "n_discard": Rule(ZERO, _SHIFT),
    "n_keep": Rule(ZERO, _SHIFT),
    "parse_tool_calls": Rule(TRUE, "Calls of offered tools are always read."),
    "penalize_nl": Rule(NULL, "llama.cpp has dropped it."),
    "post_sampling_probs": Rule(FALSE, "Log probabilities are those before truncation."),
    "preserved_tokens": Rule(EMPTY, "Control tokens are written out where tools or thoughts need them."),
    "reasoning_budget_tokens": Rule(one_of("-1", -1), _says("`thinking_budget_tokens`")),
    "response_fields": Rule(EMPTY, "Answers have OpenAI's fields.", reported=ARRAY),
    "return_tokens": Rule(FALSE, _says("`return_token_ids`")),
    "sse_ping_interval": Rule(OFF, _OPERATOR, reported=INTEGER),
    "t_max_prompt_ms": Rule(INTEGER, "It has no effect in llama.cpp either."),
    "tfs_z": Rule(ONE, _NO_SUCH_SAMPLER),
    "timings_per_token": Rule(FALSE, "`/metrics` has times.", reported=TRUE),
    "verbose": Rule(FALSE, "`debug` says what to tell.", reported=TRUE),
}

_VLLM = {
    "documents": Rule(EMPTY, "Put documents into messages."),
    "early_stopping": Rule(FALSE, "It belongs to beam search."),
    "include_reasoning": Rule(TRUE, "`reasoning_effort` and `reasoning_format` say more."),
    "length_penalty": Rule(ONE, "It belongs to beam search."),
    "logits_processors": Rule(EMPTY, "Requests bring no code."),
    "mm_processor_kwargs": Rule(EMPTY, _PARTS),
    "prompt_embeds": Rule(NULL, "Prompts are text or token ids."),
    "return_tokens_as_token_ids": Rule(FALSE, "Tokens are shown as OpenAI shows them."),
    "skip_special_tokens": Rule(TRUE, "Control tokens are no part of an answer's text."),
    "spaces_between_special_tokens": Rule(BOOLEAN, "Without special tokens in the text it has no effect."),
    "use_beam_search": Rule(FALSE, "Texts are drawn, by `best_of` the best of several."),
    "guided_decoding_backend": Rule(NULL, _ONE_BACKEND, reported=TEXT),
    "structured_outputs.backend": Rule(NULL, _ONE_BACKEND, reported=TEXT),
    "structured_outputs.disable_fallback": Rule(BOOLEAN, _ONE_BACKEND),
    **_all(("guided_whitespace_pattern", "structured_outputs.whitespace_pattern"), NULL, _WHITE_SPACE),
    "structured_outputs.disable_any_whitespace": Rule(FALSE, _WHITE_SPACE),
    "structured_outputs.disable_additional_properties": Rule(FALSE, "`additionalProperties` says it."),
    "structured_outputs.structural_tag": Rule(NULL, "`tools` constrain calls, and a grammar can have tags."),
    **_all(("allowed_media_domains", "media_io_kwargs"), EMPTY, _PARTS),
    "logprob_token_ids": Rule(EMPTY, _says("`top_logprobs`")),
    "truncation_side": Rule(one_of("left", "left"), "`truncate_prompt_tokens` keeps the last tokens."),
    "watermarking": Rule(FALSE, "Texts have no watermarks."),
    **_all(("vllm_xargs", "custom_params"), EMPTY, "There are no extensions that would read it."),
    **_all(("kv_transfer_params", "ec_transfer_params"), EMPTY, "One process computes all of a request."),
    "repetition_detection": Rule(NULL, _NO_DETECTION),
    **_all(
        ("max_repetition_pattern_size", "min_repetition_pattern_size", "repetition_min_count"),
        ZERO,
        _NO_DETECTION,
    ),
    "return_prompt_text": Rule(FALSE, "`/apply-template` shows it.", reported=TRUE),
    "stream_interval": Rule(ONE, "Chunks leave as they come.", reported=INTEGER),
}

# SGLang, TabbyAPI, text-generation-webui, KoboldCpp and the clients that speak to all of them.
_SAMPLERS = {
    **_all(("tfs", "encoder_repetition_penalty"), ONE, _NO_SUCH_SAMPLER),
    **_all(("cfg_scale", "guidance_scale"), ONE, "A prompt has no negative beside it."),
    "negative_prompt": Rule(EMPTY, "A prompt has no negative beside it."),
    **_all(
        ("top_a", "epsilon_cutoff", "eta_cutoff", "smoothing_factor", "skew", "penalty_alpha", "top_g"),
        ZERO,
        _NO_SUCH_SAMPLER,
    ),
    "no_repeat_ngram_size": Rule(ZERO, "DRY acts against repeated passages: `dry_multiplier`."),
    "num_beams": Rule(ONE, "Texts are drawn, by `best_of` the best of several."),
    "do_sample": Rule(TRUE, _says("`temperature` 0")),
    "dynamic_temperature": Rule(FALSE, _says("`dynatemp_range`")),
    **_all(("min_temp", "max_temp", "temp_exponent"), ONE, _says("`dynatemp_range`")),
    "smoothing_curve": Rule(ONE, _NO_SUCH_SAMPLER),
    "temperature_last": Rule(TRUE, "`samplers` can name `temperature` first."),
    **_named(("nsigma",), OFF, "top_n_sigma"),
    **_named(
        ("penalty_range", "repetition_range", "repetition_penalty_range", "rep_pen_range"),
        OFF,
        "repeat_last_n",
    ),
    **_named(("rep_pen",), ONE, "repeat_penalty", "repetition_penalty"),
    "rep_pen_slope": Rule(ONE, _NO_SUCH_SAMPLER),
    "repetition_decay": Rule(ZERO, "Penalties end with `repeat_last_n`."),
    "token_healing": Rule(FALSE, "Tokens of the prompt stay as they are."),
    "add_bos_token": Rule(TRUE, _says("`add_special_tokens`")),
    "ban_eos_token": Rule(FALSE, _says("`ignore_eos`")),
    **_all(("banned_strings", "custom_token_bans", "banned_tokens"), EMPTY, _says("`bad_words`")),
    **_named(("min_length", "min_new_tokens"), ZERO, "min_tokens"),
    "no_stop_trim": Rule(FALSE, _says("`include_stop_str_in_output`")),
    "grammar_string": Rule(EMPTY, _says("`grammar`")),
    "regex_pattern": Rule(EMPTY, _says("`regex`")),
    "separate_reasoning": Rule(TRUE, _says("`reasoning_format`")),
    "stream_reasoning": Rule(TRUE, "Thoughts are streamed as they come."),
    **_all(("return_hidden_states", "return_routed_experts"), FALSE, "Answers are text."),
    "return_cached_tokens_details": Rule(FALSE, "`usage` has the number.", reported=TRUE),
    "return_prompt_token_ids": Rule(FALSE, _says("`return_token_ids`")),
    "return_meta_info": Rule(FALSE, "`/metrics` has times.", reported=TRUE),
    "lora_path": Rule(EMPTY, "`lora` names adapters; their files are the operator's."),
    "custom_logit_processor": Rule(EMPTY, "Requests bring no code."),
    "stop_regex": Rule(EMPTY, "`stop` takes texts."),
    "input_ids": Rule(EMPTY, "`/v1/completions` takes token ids as its `prompt`."),
    "session_params": Rule(EMPTY, "`/v1/responses` goes on with conversations."),
    **_named(("sampling_seed",), NULL, "seed"),
}

# Jina's, Cohere's and Voyage's, about embeddings.
EMBEDDINGS = {
    "lora": Rule(EMPTY, "Adapters are for texts."),
    **_named(("embedding_type",), one_of("`float`", "float"), "output_dtype"),
    "embedding_types": Rule(one_of('`["float"]`', ["float"]), _says("`output_dtype`")),
    "truncation": Rule(FALSE, "`truncate_prompt_tokens` cuts a text; others are too long.", reported=TRUE),
}

# Words for what this server has: passed over, they would be missed.
_RENAMED = {
    **_named(
        ("max_new_tokens", "max_length", "num_predict", "max_tokens_to_sample"),
        OFF,
        "max_tokens",
        "max_completion_tokens",
        "n_predict",
    ),
    **_named(("stop_sequences", "stop_sequence", "stopping_strings"), EMPTY, "stop"),
    **_named(("random_seed", "sampler_seed"), one_of("-1", -1), "seed"),
    **_all(("enable_thinking", "thinking", "think"), NULL, _TEMPLATE),
    **_all(("thinking_budget", "thinking_token_budget"), NULL, _says("`thinking_budget_tokens`")),
    "format": Rule(EMPTY, _says("`response_format`")),
    "system": Rule(EMPTY, "Write a message of the role `system`."),
    "images": Rule(EMPTY, _PARTS),
    "template": Rule(EMPTY, "The template is the model's, or the operator's choice."),
    "raw": Rule(FALSE, "`/v1/completions` continues a text as it is."),
    "options": Rule(EMPTY, "Decoding parameters stand at the top of the body."),
    # Some clients write Ollama's `options` at the top of the body.
    **{name: Rule(NULL, _OPERATOR, reported=NUMBER) for name in WITHOUT_EFFECT},
    "safe_prompt": Rule(FALSE, "Prompts are as they are sent."),
    **_all(("models", "transforms", "plugins"), EMPTY, "Nothing is routed to other services."),
    "reasoning": Rule(PLAIN_REASONING, "`reasoning_effort` and `thinking_budget_tokens` say it."),
    "response_schema": Rule(EMPTY, _says("`response_format`")),
}

PEERS = _LLAMA_CPP | _VLLM | _SAMPLERS | _RENAMED
