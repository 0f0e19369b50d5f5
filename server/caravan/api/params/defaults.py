"""What holds where a request says nothing: llama.cpp's defaults, the model's own, the operator's."""

import logging
from collections.abc import Mapping

from caravan_schemas.samplers import FIXED
from caravan_schemas.sampling import DecodingFields
from pydantic import ValidationError

from caravan.api.params.resolved import DEFAULTABLE, Source, Value, given

log = logging.getLogger(__name__)

# Keys of GGUF files by the parameters that they recommend values for.
_GGUF_KEYS = {
    "temperature": "general.sampling.temp",
    "top_k": "general.sampling.top_k",
    "top_p": "general.sampling.top_p",
    "min_p": "general.sampling.min_p",
    "xtc_probability": "general.sampling.xtc_probability",
    "xtc_threshold": "general.sampling.xtc_threshold",
    "repeat_last_n": "general.sampling.penalty_last_n",
    "repeat_penalty": "general.sampling.penalty_repeat",
    "mirostat": "general.sampling.mirostat",
    "mirostat_tau": "general.sampling.mirostat_tau",
    "mirostat_eta": "general.sampling.mirostat_eta",
    "samplers": "general.sampling.sequence",
}


def effective(metadata: Mapping[str, str], operator: DecodingFields) -> dict[str, Value]:
    """The defaults of a model: the operator's over the file's over llama.cpp's.

    A recommendation of the file that is out of range is passed over, with a warning.
    """
    values = {
        name: Value(
            list(default) if isinstance(default := parameter.default, tuple) else default, Source.LLAMA_CPP
        )
        for name, parameter in DEFAULTABLE.items()
        if parameter.default is not None
    }
    for name, key in _GGUF_KEYS.items():
        text = metadata.get(key)
        if text is not None:
            value = _recommended(name, key, text)
            if value is not None:
                values[name] = Value(value, Source.GGUF)
    values |= {name: Value(value, Source.OPERATOR) for name, value in given(operator).items()}
    return values


def _recommended(name: str, key: str, text: str) -> object:
    default = DEFAULTABLE[name].default
    try:
        value: object
        if name == "samplers":
            # A file recommends what truncates; it turns nothing else off.
            value = [part for part in text.split(";") if part not in FIXED]
        else:
            value = float(text) if isinstance(default, float) else int(text)
        return given(DecodingFields.model_validate({name: _shortest(value)}))[name]
    except (ValueError, ValidationError):
        log.warning("the model recommends %s = %.100r, which is out of range; passed over", key, text)
        return None


def _shortest(value: object) -> object:
    """A float32 of a file as people write it: 0.1 instead of 0.10000000149011612."""
    return float(f"{value:.7g}") if isinstance(value, float) else value
