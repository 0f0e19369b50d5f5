"""What a client expects the answer to be, as tokens."""

from caravan_schemas.prediction import Prediction

from caravan.api.prompt.tokenize import bare_ids
from caravan.models.loaded_model import LoadedModel

# What an answer leaves out of its prediction makes that longer; what lies this far on is hardly reached.
_MOST_CONTEXTS = 2


def predicted_ids(model: LoadedModel, prediction: Prediction | None) -> tuple[int, ...]:
    """Tokenize a prediction, as much of it as an answer may come to; no word of it is a special token.

    Raises InvalidRequestError where it cannot be tokenized, and MemoryShortError.
    """
    if prediction is None:
        return ()
    most = _MOST_CONTEXTS * model.context_size
    text = prediction.text[: most * model.vocab.longest_token]
    return tuple(bare_ids(model, text, param="prediction", parse_special=False)[:most])
