"""Models as lists show them: how long their texts may be, what they read and write, and what they can do.

Of a model that is not loaded, its file's header tells; nothing is loaded for a list.
"""

from collections.abc import Iterator

from caravan_schemas.models import Ability, ModelArchitecture, ModelCard, ModelMeta

from caravan.auth.principal import Principal
from caravan.engine.embedding.values import Pooling
from caravan.media.values import Kind
from caravan.models import ModelRegistry, ModelSpec
from caravan.models.file_facts import FileFacts
from caravan.models.loaded_model import LoadedModel
from caravan.models.loader import ContextLength
from caravan.runtime.threads import in_thread

# Fields of chats, those among them that OpenRouter's list has words for.
_PARAMETERS = (
    *("max_tokens", "temperature", "top_p", "top_k", "min_p", "seed", "stop", "logit_bias"),
    *("frequency_penalty", "presence_penalty", "repetition_penalty", "logprobs", "top_logprobs"),
    *("response_format", "structured_outputs"),
)
_OF_ABILITIES: dict[Ability, tuple[str, ...]] = {
    "completion": _PARAMETERS,
    "tools": ("tools", "tool_choice", "parallel_tool_calls"),
    "thinking": ("reasoning_effort",),
}

# What a model reads beside texts, by what it is able to.
_READ: dict[Ability, str] = {"vision": "image", "audio": "audio"}


async def cards(registry: ModelRegistry, principal: Principal) -> list[ModelCard]:
    """All models that a caller may use, each with its adapters behind it."""
    found = []
    for spec in registry.specs:
        if usable := spec.usable_names(principal):
            shown = await card(registry, spec)
            found += [_named(registry, shown, name) for name in usable]
    return found


async def card_of(registry: ModelRegistry, name: str, principal: Principal) -> ModelCard:
    """One model, or one of its adapters. Raises ModelNotFoundError."""
    spec = registry.find(name, principal)
    shown = await card(registry, spec)
    return _named(registry, shown, name) if name in spec.adapters else shown


def _named(registry: ModelRegistry, shown: ModelCard, name: str) -> ModelCard:
    """The card of a model as that of its adapter, which makes no vectors, or itself by its own name."""
    if name == shown.id:
        return shown
    found = [ability for ability in shown.capabilities if ability != "embedding"]
    model = registry.loaded(shown.id)
    is_missing = model is not None and name in model.engine.missing_adapters
    status = "failed" if is_missing else shown.status
    told = {"id": name, "parent": shown.id, "capabilities": found, "status": status}
    return shown.model_copy(update=told)


async def card(registry: ModelRegistry, spec: ModelSpec) -> ModelCard:
    """A model as lists show it."""
    model = registry.loaded(spec.id)

    def read() -> tuple[ContextLength, list[Ability]]:
        return spec.read_context(), [*abilities(model or spec.read_facts())]

    context, found = await in_thread(read)
    size = context.size if model is None else model.context_size
    read_too = [kind for ability, kind in _READ.items() if ability in found]
    written = {"completion": "text", "embedding": "embeddings"}.get(found[0], found[0])
    return ModelCard(
        id=spec.id,
        object="model",
        created=spec.created,
        owned_by="caravan",
        root=spec.id,
        parent=None,
        status=registry.status(spec.id).value,
        max_model_len=size,
        context_length=size,
        context_window=size,
        capabilities=found,
        architecture=ModelArchitecture(
            modality=f"{'+'.join(['text', *read_too])}->{written}",
            input_modalities=["text", *read_too],
            output_modalities=[written],
        ),
        supported_parameters=[name for ability in found for name in _OF_ABILITIES.get(ability, ())],
        meta=ModelMeta(n_ctx=size, n_ctx_train=context.trained),
    )


def abilities(told: LoadedModel | FileFacts) -> Iterator[Ability]:
    """What a model can do, the first thing that it is for first."""
    if isinstance(told, LoadedModel):
        traits, can_generate = told.engine.traits, told.engine.traits.can_generate
        ranks = traits.pooling is Pooling.RANK
        thinks, fills_gaps = told.family.reasoning is not None, told.vocab.fill_ids is not None
        modalities = frozenset[Kind]() if told.encoder is None else told.encoder.modalities
    else:
        can_generate, ranks = told.can_generate, told.ranks
        thinks, fills_gaps = told.thinks, told.fills_gaps
        modalities = told.modalities
    if not can_generate:
        yield "rerank" if ranks else "embedding"
        return
    # Where a template has no place for tools, a general prompt tells of them.
    yield from ("completion", "tools")
    possible: dict[Ability, bool] = {
        "vision": "image" in modalities,
        "audio": "audio" in modalities,
        "thinking": thinks,
        "insert": fills_gaps,
    }
    yield from (ability for ability, is_there in possible.items() if is_there)
    yield from ("structured_output", "embedding", "rerank")
