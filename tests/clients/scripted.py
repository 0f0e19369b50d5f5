"""A model whose answers are written down, for agents that ask for more than the model that ships can do.

All of the server is real but the engine: requests are read, templates written, calls and thoughts parsed, and
answers streamed. Only what the model says is known beforehand.
"""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from caravan.engine.params import GenerationRequest
from caravan.models import ModelRegistry
from caravan.models.loader import ContextLength

from tests.fakes_web import BOS_ID, ScriptedEngine, loaded_model, spec_of
from tests.live_server import live_server
from tests.web.chat_models import HERMES

NAME = "scripted"
# Agents send tens of thousands of tokens with every request, and a token here is a byte.
_CONTEXT_SIZE = 1_000_000
_PIECE = 5


@contextmanager
def scripted_server(turns: Mapping[str, str]) -> Generator[str, None, None]:
    """Serve a model of the name `scripted` that calls tools in Hermes format; the value is the base URL.

    Of the words in `turns` that its prompt holds, the model answers the last one, with the text beside it. To
    a prompt without any it says what stands beside the empty word, if that is there.
    """

    def script(request: GenerationRequest, _: int) -> list[str]:
        prompt = bytes(token_id for token_id in request.token_ids if token_id < BOS_ID).decode()
        places = {word: prompt.rfind(word) for word in turns if word}
        last = max(places, key=places.__getitem__)
        text = turns[last] if places[last] >= 0 else turns.get("", "Well.")
        return [text[place : place + _PIECE] for place in range(0, len(text), _PIECE)]

    model = loaded_model(ScriptedEngine(script, context_size=_CONTEXT_SIZE), template=HERMES, name=NAME)
    spec = replace(spec_of(model), read_context=lambda: ContextLength(_CONTEXT_SIZE, _CONTEXT_SIZE))
    with live_server(ModelRegistry([spec])) as address:
        yield f"{address}/v1"
