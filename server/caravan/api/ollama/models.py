"""Models as Ollama lists and shows them, from what their files say and how they are served here."""

import time
from collections.abc import Iterator, Mapping

from caravan_schemas.models import Ability, ModelDefault
from caravan_schemas.ollama import OllamaShowRequest
from caravan_schemas.ollama_answers import (
    OllamaLoadedList,
    OllamaLoadedModel,
    OllamaModel,
    OllamaModelDetails,
    OllamaModelList,
    OllamaShown,
)
from caravan_schemas.ollama_options import DecodingOptions

from caravan.api.context import RequestContext
from caravan.api.model_cards import abilities
from caravan.api.ollama.names import find, shown_name
from caravan.api.ollama.writer import moment
from caravan.api.params.decoding_plan import DecodingPlanner
from caravan.auth.principal import Principal
from caravan.models import ModelRegistry, ModelSpec
from caravan.models.file_facts import FileFacts
from caravan.models.loaded_model import LoadedModel
from caravan.runtime.threads import in_thread

# Models go when others need their memory, unless somebody says when.
_NEVER = "9999-12-31T23:59:59Z"
# Longer than anybody waits, and not beyond what a date can be, in seconds.
_LONGEST = 100 * 366 * 86400
# What Ollama tells of models that write text.
_WORDS = ("completion", "tools", "vision", "audio", "thinking", "insert")


class OllamaModels:
    """Serves `/api/tags`, `/api/ps` and `/api/show`. Callers see the models that they may use."""

    def __init__(self, registry: ModelRegistry, decoding: DecodingPlanner) -> None:
        self._registry = registry
        self._decoding = decoding

    async def tags(self, principal: Principal) -> OllamaModelList:
        """List all models, and adapters behind theirs."""
        specs = self._registry.specs
        found = [(spec, name) for spec in specs for name in spec.usable_names(principal)]
        return OllamaModelList(models=[await _listed(spec, name) for spec, name in found])

    async def loaded(self, principal: Principal) -> OllamaLoadedList:
        """List those that are loaded."""
        models = [(spec, self._registry.loaded(spec.id)) for spec in self._registry.usable(principal)]
        return OllamaLoadedList(
            models=[await self._running(spec, model) for spec, model in models if model is not None]
        )

    async def show(self, request: OllamaShowRequest, context: RequestContext) -> OllamaShown:
        """Show one model. Raises ModelNotFoundError."""
        name = request.name or request.model
        name = self._registry.name_of(name, context.principal)
        name = find(self._registry, name, context.principal)
        spec = self._registry.find(name, context.principal)
        model = self._registry.loaded(spec.id)
        facts = await in_thread(spec.read_facts)
        metadata = await in_thread(spec.read_metadata) if model is None else model.metadata
        defaults = self._decoding.shown_defaults(metadata, spec.operator_defaults)
        context_size = (await in_thread(spec.read_context)).size if model is None else model.context_size
        return OllamaShown(
            modified_at=moment(spec.created),
            parameters="\n".join(_parameters(defaults, context_size)),
            template=facts.template,
            details=_details(facts),
            model_info=dict(facts.metadata),
            capabilities=_capabilities(model or facts),
        )

    async def _running(self, spec: ModelSpec, model: LoadedModel) -> OllamaLoadedModel:
        facts = await in_thread(spec.read_facts)
        seconds = self._registry.seconds_left(spec.id)
        return OllamaLoadedModel(
            name=shown_name(spec.id),
            model=shown_name(spec.id),
            size=model.engine.need.total,
            size_vram=model.engine.need.on_gpus,
            digest=facts.digest,
            details=_details(facts),
            expires_at=moment(time.time() + seconds) if seconds < _LONGEST else _NEVER,
            context_length=model.context_size,
        )


async def _listed(spec: ModelSpec, name: str) -> OllamaModel:
    facts = await in_thread(spec.read_facts)
    return OllamaModel(
        name=shown_name(name),
        model=shown_name(name),
        modified_at=moment(spec.created),
        size=facts.num_bytes,
        digest=facts.digest,
        details=_details(facts),
    )


def _details(facts: FileFacts) -> OllamaModelDetails:
    return OllamaModelDetails(
        parent_model="",
        format="gguf",
        family=facts.architecture,
        families=[facts.architecture] if facts.architecture else [],
        parameter_size=facts.size_label,
        quantization_level=facts.quantization,
    )


def _parameters(defaults: Mapping[str, ModelDefault], context_size: int | None) -> Iterator[str]:
    """Write the defaults that are options, a line each, as a model file of Ollama has them."""
    if context_size is not None:
        yield f"num_ctx {context_size}"
    for name in DecodingOptions.model_fields:
        known = defaults.get("max_tokens" if name == "num_predict" else name)
        if known is not None and known.value is not None:
            yield from (f"{name} {value}" for value in _values(known))


def _values(known: ModelDefault) -> list[object]:
    return [*known.value] if isinstance(known.value, list) else [known.value]


def _capabilities(told: LoadedModel | FileFacts) -> list[Ability]:
    """What a model is for, in Ollama's words; of one that writes text, not what any such model can do."""
    found = [*abilities(told)]
    return [ability for ability in found if ability in _WORDS] if "completion" in found else found[:1]
