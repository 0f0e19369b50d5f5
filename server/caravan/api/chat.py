"""Chat completions: messages into a prompt, and the prompt into an answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from caravan_schemas.chat import ChatCompletionRequest, ChatFinishReason

from caravan.api.admission import check_room, turn
from caravan.api.context import RequestContext
from caravan.api.generation_requests import expected_tokens, generation_requests
from caravan.api.output.chunks import ChatFormat, Identity
from caravan.api.output.completion_run import CompletionRun, PreparedAnswer
from caravan.api.output.echo import check_scores, refuse_streamed_scores
from caravan.api.output.logprobs import LogprobWriter
from caravan.api.output.obfuscation import wants_padding
from caravan.api.output.output_format import OutputFormat
from caravan.api.params import sampling_params
from caravan.api.params.decoding_plan import DecodingPlan
from caravan.api.params.resolved import ResolvedParams
from caravan.api.params.sampling_params import DecodingPlanner
from caravan.api.prompt import tool_constraints
from caravan.api.prompt.chat_prompt import rendered
from caravan.api.prompt.conversation_size import threads_for
from caravan.api.prompt.reasoning import Thinking, thinking
from caravan.api.prompt.tokenize import check_generates, tokenized
from caravan.api.prompt.tools import Choice, ToolRequest
from caravan.api.prompt.truncation import PromptRules
from caravan.api.run import Prepared
from caravan.api.structured.compiler import Compiled, ConstraintCompiler, answer_checker, constraint
from caravan.api.structured.tool_calls import BoundCalls
from caravan.auth.principal import Principal
from caravan.chat.tool_formats.tool_spec import ToolSpec
from caravan.errors import InvalidRequestError
from caravan.models import ModelRegistry
from caravan.models.loaded_model import LoadedModel
from caravan.runtime.threads import in_thread


@dataclass(frozen=True, kw_only=True)
class PreparedChat(Prepared):
    """Adds how the answer's text is read. Without an `output_format`, all of it is content."""

    output_format: OutputFormat | None


@dataclass(frozen=True)
class _ReadChat:
    """A request, read as far as no grammar is needed."""

    plan: DecodingPlan
    token_ids: tuple[int, ...]
    tools: ToolRequest | None
    thinking: Thinking | None
    keeps_thought: bool


class ChatService:
    """Serves `POST /v1/chat/completions` for all models of a registry."""

    def __init__(
        self, registry: ModelRegistry, decoding: DecodingPlanner, constraints: ConstraintCompiler
    ) -> None:
        self._registry = registry
        self._decoding = decoding
        self._constraints = constraints

    def run(self, request: ChatCompletionRequest, context: RequestContext) -> CompletionRun:
        """The run of a request, of which nothing has happened yet."""
        prepare = partial(self._prepare_answer, request, context)
        return CompletionRun(self._registry, request.model, prepare, context, stream=bool(request.stream))

    async def outlook(self, request: ChatCompletionRequest, context: RequestContext) -> ResolvedParams:
        """The decoding of a request whose model need not be loaded; refuses what it can by then."""
        offer = self._registry.find(request.model, context.principal)
        metadata = await in_thread(offer.read_metadata)
        return self._decoding.outlook(request, metadata, offer.operator_defaults)

    async def prepare(
        self, request: ChatCompletionRequest, model: LoadedModel, request_id: str, context: RequestContext
    ) -> PreparedChat:
        """Everything that can refuse the request happens here; nothing has reached the engine yet."""
        principal = context.principal
        check_room(model, principal, request.n or 1)
        # Templates and tokenizers take time that grows with the text; streams of others must not wait for it.
        limiter = turn(threads_for(request, model, model.threads), principal)
        read = await in_thread(self._read, model, request, principal, limiter=limiter)
        compiled = await self._constraints.compile(request, context, model.vocab)
        calls = await self._calls(model, read.tools, compiled, context)
        bound = constraint(compiled) if calls is None else calls.constraint
        output_format = _output_format(
            model, read, () if calls is None else calls.specs, is_bound=bound is not None
        )
        is_marked = output_format is not None or read.thinking is not None
        requests = generation_requests(
            model,
            request_id,
            [read.token_ids],
            read.plan,
            principal,
            cache_wish=sampling_params.cache_wish(request),
            constraint=bound,
            reasoning=None if read.thinking is None else read.thinking.reasoning(model),
            layout=tool_constraints.layout(model, read.tools) if is_marked else None,
            shown_token_ids=tool_constraints.shown_token_ids(model) if is_marked else (),
            num_prompt_logprobs=request.prompt_logprobs,
            tells_token_ids=bool(request.return_token_ids),
        )
        checker = answer_checker(
            # A thought that stays in the content would not stand up to it.
            None if read.keeps_thought else compiled,
            read.plan.params,
            None if calls is None else calls.judges,
            is_trimmed=output_format is not None,
        )
        return PreparedChat(
            requests=requests,
            num_expected_tokens=expected_tokens(requests, model.context_size),
            plan=read.plan,
            checker=checker,
            output_format=output_format,
        )

    async def _prepare_answer(
        self, request: ChatCompletionRequest, context: RequestContext, model: LoadedModel
    ) -> PreparedAnswer:
        with_usage = sampling_params.wants_usage_chunk(request)
        identity = Identity.new("chatcmpl", request.model, self._decoding.fingerprint(model))
        prepared = await self.prepare(request, model, identity.id, context)
        return PreparedAnswer(
            requests=prepared.requests,
            num_expected_tokens=prepared.num_expected_tokens,
            plan=prepared.plan,
            checker=prepared.checker,
            format=ChatFormat(
                identity,
                with_usage=with_usage,
                writer=None if _num_logprobs(request) is None else LogprobWriter(model.vocab),
                prompt_writer=None if request.prompt_logprobs is None else LogprobWriter(model.vocab),
                with_token_ids=bool(request.return_token_ids),
                output_format=prepared.output_format,
            ),
            is_padded=wants_padding(request),
        )

    def _read(self, model: LoadedModel, request: ChatCompletionRequest, principal: Principal) -> _ReadChat:
        check_generates(model)
        refuse_streamed_scores(request)
        plan = self._decoding.plan(
            request,
            model,
            num_logprobs=_num_logprobs(request),
            may_draw_nothing=request.prompt_logprobs is not None,
        )
        rules = PromptRules.of_prompt(request, model, plan.params.max_tokens)
        text, tools = rendered(request, model, principal, has_to_fit=rules.limit is None)
        thought = thinking(request, model, text)
        token_ids = tokenized(model, text, param="messages", rules=rules)
        check_scores(
            [token_ids], request.prompt_logprobs, plan.num_drawn, stream=False, param="prompt_logprobs"
        )
        return _ReadChat(
            plan=plan,
            token_ids=token_ids,
            tools=tools,
            thinking=thought,
            keeps_thought=thought is not None and request.reasoning_format == "none",
        )

    async def _calls(
        self,
        model: LoadedModel,
        tools: ToolRequest | None,
        compiled: Compiled | None,
        context: RequestContext,
    ) -> BoundCalls | None:
        """What calls may be, and what the request asks of an answer without any."""
        if tools is None:
            return None
        return await self._constraints.compile_calls(
            tool_constraints.calls(tools, model, constraint(compiled)), context
        )


def _output_format(
    model: LoadedModel, read: _ReadChat, specs: Sequence[ToolSpec], *, is_bound: bool
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
