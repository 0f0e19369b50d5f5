"""Chat completions: messages into a prompt, and the prompt into an answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from caravan_schemas.chat import ChatCompletionRequest, ChatFinishReason

from caravan.api.admission import check_room, turn
from caravan.api.output.answer import Answer
from caravan.api.output.chunks import ChatFormat, Identity
from caravan.api.output.echo import Scoring, check_scores, refuse_streamed_scores
from caravan.api.output.generation import Generation, Guidance
from caravan.api.output.logprobs import LogprobWriter
from caravan.api.output.obfuscation import wants_padding
from caravan.api.output.output_format import OutputFormat
from caravan.api.output.pending import PendingAnswer
from caravan.api.params import sampling_params
from caravan.api.params.decoding_plan import DecodingPlan
from caravan.api.params.resolved import ResolvedParams
from caravan.api.params.sampling_params import DecodingPlanner
from caravan.api.prompt import tool_constraints
from caravan.api.prompt.chat_prompt import rendered
from caravan.api.prompt.reasoning import Thinking, thinking
from caravan.api.prompt.tokenize import check_generates, tokenized
from caravan.api.prompt.tools import Choice, ToolRequest
from caravan.api.prompt.truncation import PromptRules
from caravan.api.structured.checker import AnswerChecker
from caravan.api.structured.compiler import Compiled, ConstraintCompiler, constraint, verdict
from caravan.api.structured.tool_calls import BoundCalls
from caravan.chat.tool_formats.tool_spec import ToolSpec
from caravan.errors import InvalidRequestError
from caravan.models import ModelRegistry
from caravan.models.loaded_model import LoadedModel
from caravan.runtime.threads import in_thread


@dataclass(frozen=True)
class _Read:
    """A request, read as far as no grammar is needed."""

    plan: DecodingPlan
    token_ids: tuple[int, ...]
    tools: ToolRequest | None
    thinking: Thinking | None
    keeps_thought: bool


@dataclass(frozen=True, kw_only=True)
class PreparedChat:
    """A request that nothing can refuse any more. Without a `reading`, all text is content."""

    generation: Generation
    plan: DecodingPlan
    reading: OutputFormat | None
    verdict: AnswerChecker | None


class ChatService:
    """Serves `POST /v1/chat/completions` for all models of a registry."""

    def __init__(
        self, registry: ModelRegistry, decoding: DecodingPlanner, constraints: ConstraintCompiler
    ) -> None:
        self._registry = registry
        self._decoding = decoding
        self._constraints = constraints

    def answer(self, request: ChatCompletionRequest) -> PendingAnswer:
        """The answer to a request, of which nothing has happened yet."""
        prepare = partial(self._prepare, request)
        return PendingAnswer(self._registry, request.model, prepare, stream=bool(request.stream))

    async def _prepare(self, request: ChatCompletionRequest, model: LoadedModel) -> Answer:
        with_usage = sampling_params.wants_usage_chunk(request)
        identity = Identity.new("chatcmpl", request.model, self._decoding.fingerprint(model))
        prepared = await self.prepare(request, model, identity.id)
        return Answer(
            prepared.generation,
            ChatFormat(
                identity,
                with_usage=with_usage,
                writer=None if _num_logprobs(request) is None else LogprobWriter(model.vocab),
                prompt_writer=None if request.prompt_logprobs is None else LogprobWriter(model.vocab),
                with_token_ids=bool(request.return_token_ids),
                reading=prepared.reading,
            ),
            prepared.plan,
            prepared.verdict,
            with_usage=with_usage,
            is_padded=wants_padding(request),
        )

    async def outlook(self, request: ChatCompletionRequest) -> ResolvedParams:
        """The decoding of a request whose model need not be loaded; refuses what it can by then."""
        offer = self._registry.find(request.model)
        metadata = await in_thread(offer.read_metadata)
        return self._decoding.outlook(request, metadata, offer.operator_defaults)

    async def prepare(
        self, request: ChatCompletionRequest, model: LoadedModel, request_id: str
    ) -> PreparedChat:
        """Everything that can refuse the request happens here; nothing has reached the engine yet."""
        check_room(model, request.n or 1)
        # Templates and tokenizers take time that grows with the text; streams of others must not wait for it.
        read = await in_thread(self._read, model, request, limiter=turn(model.threads))
        compiled = await self._constraints.compile(request, model.vocab)
        calls = await self._calls(model, read.tools, compiled)
        bound = constraint(compiled) if calls is None else calls.constraint
        reading = _reading(model, read, () if calls is None else calls.specs, is_bound=bound is not None)
        is_marked = reading is not None or read.thinking is not None
        guidance = Guidance(
            constraint=bound,
            reasoning=None if read.thinking is None else read.thinking.reasoning(model),
            scoring=Scoring(num_logprobs=request.prompt_logprobs),
            cache_salt=sampling_params.cache_wish(request),
            tells_token_ids=bool(request.return_token_ids),
            shown_token_ids=tool_constraints.shown_token_ids(model) if is_marked else (),
            layout=tool_constraints.layout(model, read.tools) if is_marked else None,
        )
        plan = read.plan
        return PreparedChat(
            generation=Generation(model, request_id, [read.token_ids], plan.params, plan.num_drawn, guidance),
            plan=plan,
            reading=reading,
            verdict=verdict(
                # A thought that stays in the content would not stand up to it.
                None if read.keeps_thought else compiled,
                plan.params,
                None if calls is None else calls.judges,
                is_trimmed=reading is not None,
            ),
        )

    def _read(self, model: LoadedModel, request: ChatCompletionRequest) -> _Read:
        check_generates(model)
        refuse_streamed_scores(request)
        plan = self._decoding.plan(
            request,
            model,
            num_logprobs=_num_logprobs(request),
            may_draw_nothing=request.prompt_logprobs is not None,
        )
        text, tools = rendered(request, model)
        thought = thinking(request, model, text)
        rules = PromptRules.of_prompt(request, model, plan.params.max_tokens)
        token_ids = tokenized(model, text, param="messages", rules=rules)
        check_scores(
            [token_ids], request.prompt_logprobs, plan.num_drawn, stream=False, param="prompt_logprobs"
        )
        return _Read(
            plan=plan,
            token_ids=token_ids,
            tools=tools,
            thinking=thought,
            keeps_thought=thought is not None and request.reasoning_format == "none",
        )

    async def _calls(
        self, model: LoadedModel, tools: ToolRequest | None, compiled: Compiled | None
    ) -> BoundCalls | None:
        """What calls may be, and what the request asks of an answer without any."""
        if tools is None:
            return None
        return await self._constraints.compile_calls(
            tool_constraints.calls(tools, model, constraint(compiled))
        )


def _reading(
    model: LoadedModel, read: _Read, specs: Sequence[ToolSpec], *, is_bound: bool
) -> OutputFormat | None:
    """How the answer's text is read; None where all of it is content."""
    tools, thought = read.tools, read.thinking
    if tools is None and (thought is None or read.keeps_thought) and not model.family.is_framed:
        return None
    is_open = thought is not None and thought.is_open
    return OutputFormat(
        make_parser=partial(model.family.parser, specs, is_open=is_open, bound=is_bound),
        custom_names=frozenset() if tools is None else tools.custom_names,
        call_reason=_call_reason(tools),
        is_parallel=tools is None or tools.is_parallel,
        is_legacy=tools is not None and tools.is_legacy,
        thought_markers=(thought.markers.start, thought.markers.end)
        if thought and read.keeps_thought
        else None,
        is_open=is_open,
    )


def _call_reason(tools: ToolRequest | None) -> ChatFinishReason:
    """OpenAI's words: a call that was asked for by name is no surprise, and the choice just stops."""
    if tools is not None and tools.choice is Choice.NAMED:
        return "stop"
    return "function_call" if tools is not None and tools.is_legacy else "tool_calls"


def _num_logprobs(request: ChatCompletionRequest) -> int | None:
    """How many of the likeliest tokens to tell of each, by either name; None tells nothing of tokens."""
    if probs := request.n_probs:
        if request.logprobs is False or request.top_logprobs not in (None, probs):
            message = "'n_probs' says otherwise than 'logprobs' and 'top_logprobs'."
            raise InvalidRequestError(message, param="n_probs", code="invalid_value")
        return probs
    if request.logprobs:
        return request.top_logprobs or 0
    if request.top_logprobs:
        message = "'top_logprobs' is only allowed when 'logprobs' is true."
        raise InvalidRequestError(message, param="top_logprobs", code="invalid_value")
    return None
