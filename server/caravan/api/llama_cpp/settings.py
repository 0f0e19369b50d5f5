"""How a text is drawn, in llama.cpp's words."""

import math
from collections.abc import Sequence

from caravan.engine.params import AdapterSet, SamplingParams

# What llama.cpp shows where no seed is set.
_NO_SEED = 2**32 - 1
_AS_THEY_ARE = (
    "temperature",
    "dynatemp_range",
    "dynatemp_exponent",
    "top_k",
    "top_p",
    "min_p",
    "top_n_sigma",
    "xtc_probability",
    "xtc_threshold",
    "typical_p",
    "repeat_last_n",
    "repeat_penalty",
    "presence_penalty",
    "frequency_penalty",
    "dry_multiplier",
    "dry_base",
    "dry_allowed_length",
    "dry_penalty_last_n",
    "mirostat",
    "mirostat_tau",
    "mirostat_eta",
    "adaptive_target",
    "adaptive_decay",
    "min_keep",
    "ignore_eos",
    "n_indent",
)
_NAMES = {"typical_p": "typ_p"}


def generation_settings(
    params: SamplingParams, lora: AdapterSet, adapters: Sequence[str], *, stream: bool = False
) -> dict[str, object]:
    """Write the decoding of a request, which has `lora` of a model's `adapters`. Nothing is ever shifted out
    of a context, nor kept for that.
    """
    limit = -1 if params.max_tokens is None else params.max_tokens
    names = [_NAMES.get(name, name) for name in params.samplers]
    return {
        "seed": _NO_SEED if params.seed is None else params.seed,
        **{name: getattr(params, name) for name in _AS_THEY_ARE},
        "stop": params.stop,
        "max_tokens": limit,
        "n_predict": limit,
        "n_keep": 0,
        "n_discard": 0,
        "stream": stream,
        "logit_bias": [
            {"token": token_id, "bias": None if math.isinf(bias) else bias}
            for token_id, bias in params.logit_bias
        ],
        "n_probs": params.num_logprobs or 0,
        "post_sampling_probs": params.tells_drawn,
        "samplers": ["penalties", "dry", *names, *(() if "temperature" in names else ("temperature",))],
        "lora": [{"id": adapters.index(name), "scale": scale} for name, scale in lora],
    }
