"""What a model is like and how busy it is, as llama.cpp's server tells it."""

import contextlib
from collections.abc import AsyncGenerator

from caravan_schemas.llama_cpp import LlamaDefaults, LlamaModalities, LlamaProps, LlamaSlot
from caravan_schemas.queries import LlamaPropsQuery
from caravan_schemas.sampling import SamplingFields

from caravan.api.llama_cpp.settings import generation_settings
from caravan.api.params.decoding_plan import DecodingPlanner
from caravan.auth.principal import Principal
from caravan.errors import InvalidRequestError, OverloadedError
from caravan.models import ModelRegistry
from caravan.models.loaded_model import LoadedModel
from caravan.models.slot import Status
from caravan.runtime.threads import in_thread
from caravan.version import version

_RETRY_SECONDS = 1


class LlamaCppProps:
    """Serves `GET /props` and `GET /slots`, about the models that a caller may use."""

    def __init__(self, registry: ModelRegistry, decoding: DecodingPlanner) -> None:
        self._registry = registry
        self._decoding = decoding

    async def props(self, query: LlamaPropsQuery, principal: Principal) -> LlamaProps:
        """Tell what a model is like. Raises ModelNotFoundError and what loading it raises."""
        async with self._held(query, principal) as model:
            facts = await in_thread(self._registry.find(model.name, principal).read_facts)
            plan = await in_thread(self._decoding.plan, SamplingFields(), model)
            vocab, told = model.vocab, model.template_summary
            return LlamaProps(
                default_generation_settings=LlamaDefaults(
                    params=generation_settings(plan.params, model.lora, model.adapters),
                    n_ctx=model.context_size,
                ),
                total_slots=model.engine.max_running,
                model_alias=model.name,
                model_ftype=facts.quantization,
                modalities=_modalities(model),
                chat_template=facts.template,
                chat_template_caps={
                    "supports_system_role": told.system,
                    "supports_tools": told.tools,
                    "supports_tool_calls": told.tool_calls,
                    "supports_parallel_tool_calls": told.parallel_tool_calls,
                },
                bos_token="" if vocab.bos_id is None else vocab.token_text(vocab.bos_id),
                eos_token="" if vocab.eos_id is None else vocab.token_text(vocab.eos_id),
                build_info=f"caravan-{version()}",
            )

    async def slots(self, query: LlamaPropsQuery, principal: Principal) -> list[LlamaSlot]:
        """Tell how many texts are written, of how many that can be. Raises OverloadedError where asked to."""
        async with self._held(query, principal) as model:
            num_slots, num_running = model.engine.max_running, model.engine.stats().num_running
        if query.fail_on_no_slot and num_running >= num_slots:
            raise OverloadedError("no slot available", retry_after=_RETRY_SECONDS)
        return [
            LlamaSlot(id=number, n_ctx=model.context_size, is_processing=number < num_running)
            for number in range(num_slots)
        ]

    @contextlib.asynccontextmanager
    async def _held(self, query: LlamaPropsQuery, principal: Principal) -> AsyncGenerator[LoadedModel, None]:
        registry = self._registry
        name = registry.name_of(query.model or "", principal)
        registry.find(name, principal)
        # What is asked again and again, by editors and monitors, keeps no model in memory.
        if not query.autoload and registry.status(name) in (
            Status.AVAILABLE,
            Status.FAILED,
            Status.UNLOADING,
        ):
            message = f"The model '{name}' is not loaded. 'autoload=true' loads it."
            raise InvalidRequestError(message, param="model", code="model_not_loaded")
        async with registry.holding(name, principal) as model:
            yield model


def _modalities(model: LoadedModel) -> LlamaModalities:
    read = frozenset() if model.encoder is None else model.encoder.modalities
    return LlamaModalities(vision="image" in read, audio="audio" in read)
