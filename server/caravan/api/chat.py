"""Chat completions: messages into a prompt, and the prompt into an answer."""

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from caravan_schemas.chat import ChatCompletionRequest
from caravan_schemas.structured import ConstraintFields

from caravan.api.completion_run import CompletionRun
from caravan.api.context import RequestContext
from caravan.api.output.answer_format import Envelope
from caravan.api.output.chat_format import ChatFormat
from caravan.api.output.parsed_choice import OutputFormat
from caravan.api.params.decoding_plan import DecodingPlan, DecodingPlanner
from caravan.api.params.resolved import ResolvedParams
from caravan.api.prepared import Prepared, check_scores, generation_requests, refuse_streamed_scores
from caravan.api.prompt.chat_prompt import Thinking, has_media, rendered, thinking, threads_for
from caravan.api.prompt.media import Marks, MediaPrompts, Prompt, marked
from caravan.api.prompt.tokenize import PromptRules, check_generates, predicted_ids, tokenized
from caravan.api.prompt.tools import Choice, ToolRequest, layout
from caravan.api.structured.checker import AnswerChecker
from caravan.api.structured.compiler import Compiled, ConstraintCompiler, answer_checker
from caravan.api.structured.tool_calls import BoundCalls, Calls
from caravan.auth.principal import Principal
from caravan.errors import InvalidValueError
from caravan.models import ModelRegistry
from caravan.models.loaded_model import LoadedModel
from caravan.runtime.threads import in_thread


@dataclass(frozen=True)
class ReadChat:
    """What preparing a chat has found. With marks for images in its `text`, it has no tokens yet."""

    plan: DecodingPlan
    rules: PromptRules
    text: str
    token_ids: tuple[int, ...]
    tools: ToolRequest | None
    thinking: Thinking | None
    predicted_token_ids: tuple[int, ...]
    prompt: Prompt | None = None


def output_format_of(
    model: LoadedModel, read: ReadChat, calls: BoundCalls | None, *, is_bound: bool
) -> OutputFormat | None:
    """Say how the answer's text is read; None where all of it is content."""
    tools, thought = read.tools, read.thinking
    if tools is None and (thought is None or thought.is_content) and not model.family.is_framed:
        return None
    is_open = thought is not None and thought.is_open
    is_legacy = tools is not None and tools.is_legacy
    # As with OpenAI, a call that was asked for by name is no surprise, and the choice just stops.
    is_named = tools is not None and tools.choice is Choice.NAMED
    return OutputFormat(
        make_parser=partial(
            model.family.parser, () if calls is None else calls.specs, is_open=is_open, bound=is_bound
        ),
        custom_names=frozenset() if tools is None else tools.custom_names,
        call_reason="stop" if is_named else "function_call" if is_legacy else "tool_calls",
        is_parallel=tools is None or tools.is_parallel,
        is_legacy=is_legacy,
        thought_markers=(thought.markers.start, thought.markers.end)
        if thought and thought.is_content
        else None,
        is_open=is_open,
    )


def checker_of(
    read: ReadChat, compiled: Compiled | None, calls: BoundCalls | None, *, is_trimmed: bool
) -> AnswerChecker | None:
    """Make the check of answers and calls; None where nothing is asked of them."""
    if compiled is None and calls is None:
        return None
    # A thought that stays in the content would not stand up to it.
    of_content = None if read.thinking and read.thinking.is_content else compiled
    of_calls = None if calls is None else calls.checks
    return answer_checker(of_content, read.plan.params, of_calls, is_trimmed=is_trimmed)


class ChatService:
    """Serves `POST /v1/chat/completions` for all models of a registry."""

    def __init__(
        self,
        registry: ModelRegistry,
        decoding: DecodingPlanner,
        constraints: ConstraintCompiler,
        media: MediaPrompts,
    ) -> None:
        self._registry = registry
        self._decoding = decoding
        self._constraints = constraints
        self._media = media

    def run(self, request: ChatCompletionRequest, context: RequestContext) -> CompletionRun:
        """Make the run of a request; nothing has happened yet."""
        # What is stored is listed in the order of its ids, so they begin with the time, in microseconds.
        request_id = f"chatcmpl-{time.time_ns() // 1000:014x}{uuid.uuid4().hex[14:]}"
        prepare = partial(self.prepare, request, request_id, context)
        return CompletionRun(self._registry, request.model, prepare, context, stream=bool(request.stream))

    async def prepare(
        self, request: ChatCompletionRequest, request_id: str, context: RequestContext, model: LoadedModel
    ) -> Prepared:
        """Do everything that can refuse the request; nothing reaches the engine here.

        What is prepared holds its images, and is to be released.
        """
        principal = context.principal.asking(request.priority)
        marks: Marks | None = None
        if has_media(request.messages):
            request, marks = marked(request, model)
        fingerprint, num_logprobs = self._decoding.fingerprint(model), _num_logprobs(request)
        envelope = Envelope.of(request, request_id, fingerprint, model.vocab, num_logprobs)
        model.engine.check_room(principal.id, principal.weight, request.n or 1)
        # Templates and tokenizers take time that grows with the text; streams of others must not wait for it.
        limiter = threads_for(request, model, model.threads).held(principal.id, principal.weight)
        read = await in_thread(self._read, model, request, principal, marks is None, limiter=limiter)
        if marks is None:
            return await self._bound(read, envelope, request, request_id, context, model)
        prompt = await self._media.prompt(
            marks, read.text, model, principal, limiter=model.threads, rules=read.rules, has_to_fit=True
        )
        try:
            _check_scores(prompt.token_ids, request, read.plan)
            read = replace(read, token_ids=prompt.token_ids, prompt=prompt)
            return await self._bound(read, envelope, request, request_id, context, model)
        except BaseException:
            prompt.release()
            raise

    async def _bound(
        self,
        read: ReadChat,
        envelope: Envelope,
        request: ChatCompletionRequest,
        request_id: str,
        context: RequestContext,
        model: LoadedModel,
    ) -> Prepared:
        """Compile what binds the answer, and put all together."""
        compiled = await self._compiled(request, context, model)
        opens_answer = request.add_generation_prompt is not False and not request.continue_final_message
        calls = await self._bound_calls(model, read.tools, compiled, context, opens_answer=opens_answer)
        grammar = calls or compiled
        bound = None if grammar is None else grammar.constraint
        output_format = output_format_of(model, read, calls, is_bound=bound is not None)
        is_marked = output_format is not None or read.thinking is not None
        requests = generation_requests(
            request,
            [read.token_ids],
            read.plan,
            model,
            request_id,
            context.principal.asking(request.priority),
            constraint=bound,
            reasoning=None if read.thinking is None else read.thinking.reasoning(model),
            layout=layout(model, read.tools) if is_marked else None,
            shown_token_ids=model.shown_token_ids if is_marked else (),
            num_prompt_logprobs=request.prompt_logprobs,
            predicted_token_ids=read.predicted_token_ids,
            media=() if read.prompt is None else read.prompt.media,
        )
        return Prepared(
            requests=requests,
            plan=read.plan,
            format=ChatFormat(envelope, output_format),
            checker=checker_of(read, compiled, calls, is_trimmed=output_format is not None),
            output_format=output_format,
            prompt=read.prompt,
        )

    async def num_prompt_tokens(
        self, request: ChatCompletionRequest, context: RequestContext, model: LoadedModel
    ) -> int:
        """Count the tokens of a prompt; raises ContextLengthError where it cannot be answered."""
        if has_media(request.messages):
            return await self._num_with_media(request, context.principal, model)

        def count() -> int:
            text, _ = rendered(request, model, context.principal, has_to_fit=True)
            return len(tokenized(model, text, param="messages"))

        threads = threads_for(request, model, model.threads)
        return await in_thread(count, limiter=threads.held(context.principal.id, context.principal.weight))

    async def _num_with_media(
        self, request: ChatCompletionRequest, principal: Principal, model: LoadedModel
    ) -> int:
        request, marks = marked(request, model)
        threads = threads_for(request, model, model.threads)
        write = partial(rendered, request, model, principal, has_to_fit=True)
        text, _ = await in_thread(write, limiter=threads.held(principal.id, principal.weight))
        prompt = await self._media.prompt(marks, text, model, principal, limiter=threads, has_to_fit=True)
        prompt.release()
        return len(prompt.token_ids)

    async def outlook(self, request: ChatCompletionRequest, context: RequestContext) -> ResolvedParams:
        """Read the decoding of a request whose model need not be loaded; refuses what it can by then."""
        spec = self._registry.find(request.model, context.principal)
        metadata = await in_thread(spec.read_metadata)
        return self._decoding.outlook(request, metadata, spec.operator_defaults)

    def _read(
        self, model: LoadedModel, request: ChatCompletionRequest, principal: Principal, is_text: bool
    ) -> ReadChat:
        check_generates(model)
        refuse_streamed_scores(request)
        if request.store and request.prompt_logprobs is not None:
            raise InvalidValueError("store", "and 'prompt_logprobs' do not go together")
        plan = self._decoding.plan(
            request,
            model,
            num_logprobs=_num_logprobs(request),
            may_draw_nothing=request.prompt_logprobs is not None,
        )
        rules = PromptRules.of_prompt(request, model, plan.params.max_tokens)
        text, tools = rendered(request, model, principal, has_to_fit=rules.limit is None)
        thought = thinking(request, model, text)
        token_ids = tokenized(model, text, param="messages", rules=rules) if is_text else ()
        _check_scores(token_ids, request, plan)
        predicted = () if request.prediction is None else predicted_ids(model, request.prediction)
        return ReadChat(plan, rules, text, token_ids, tools, thought, predicted)

    async def _compiled(
        self, request: ChatCompletionRequest, context: RequestContext, model: LoadedModel
    ) -> Compiled | None:
        if not request.sets_any_of(ConstraintFields):
            return None
        return await self._constraints.compile(request, context, model.vocab)

    async def _bound_calls(
        self,
        model: LoadedModel,
        tools: ToolRequest | None,
        compiled: Compiled | None,
        context: RequestContext,
        *,
        opens_answer: bool,
    ) -> BoundCalls | None:
        """Compile what the calls of tools may be, and what the request asks of an answer without any."""
        if tools is None:
            return None
        form, is_auto = model.family.tools, tools.choice is Choice.AUTO
        specs = [tool.spec for tool in tools.callable]
        is_free = is_auto and compiled is None
        is_awaited = is_free and not (form.chooses_first and opens_answer)
        calls = Calls(
            param=tools.param,
            model_id=model.id,
            tools=tools.callable,
            is_parallel=tools.is_parallel,
            is_free=is_free,
            write=partial(
                form.grammar, parallel=tools.is_parallel, is_free=is_free, marker_ids=model.marker_ids
            ),
            after=form.announcements(specs) if is_awaited else (),
            begins=form.beginning(specs) if is_awaited else None,
            otherwise=compiled.constraint if compiled and is_auto else None,
            unkept=form.unkept,
        )
        return await self._constraints.compile_calls(calls, context)


def _check_scores(token_ids: Sequence[int], request: ChatCompletionRequest, plan: DecodingPlan) -> None:
    check_scores([token_ids], request.prompt_logprobs, plan.num_drawn, stream=False, param="prompt_logprobs")


def _num_logprobs(request: ChatCompletionRequest) -> int | None:
    """Return how many of the likeliest tokens to tell of each; None where nothing is told of tokens.

    There are two names for it; raises InvalidRequestError where they differ.
    """
    if probs := request.n_probs:
        if request.logprobs is False or request.top_logprobs not in (None, probs):
            raise InvalidValueError("n_probs", "says otherwise than 'logprobs' and 'top_logprobs'")
        return probs
    if request.logprobs:
        return request.top_logprobs or 0
    if request.top_logprobs:
        raise InvalidValueError("top_logprobs", "is only allowed when 'logprobs' is true")
    return None
