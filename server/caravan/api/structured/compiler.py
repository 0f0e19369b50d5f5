"""Constraints of requests into grammars: checked and compiled beside the event loop, in bounded time."""

import asyncio
import hashlib
import logging
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast

import msgspec
from caravan_schemas.structured import ConstraintFields

from caravan.api.context import RequestContext
from caravan.api.structured.checker import AnswerChecker, Check, choice_check, grammar_check, regex_check
from caravan.api.structured.compile_thread import CompileThread, Compiling
from caravan.api.structured.request import Kind, Wanted, wanted
from caravan.api.structured.tool_calls import BoundCalls, Calls
from caravan.auth.principal import Principal
from caravan.engine.params import SamplingParams
from caravan.errors import InvalidRequestError, MemoryShortError
from caravan.grammars.compiler import GrammarCompiler, GrammarError
from caravan.grammars.constraint import Constraint
from caravan.grammars.json_schema.json_pointer import pointer
from caravan.grammars.json_schema.locate_error import located
from caravan.grammars.json_schema.normalize import SchemaError, plain
from caravan.grammars.json_schema.strict import check_strict
from caravan.grammars.json_schema.validator import SchemaChecker
from caravan.grammars.lark_attributes import has_temperature
from caravan.models.loaded_model import TextVocab
from caravan.runtime.panics import PanicError

T = TypeVar("T")

log = logging.getLogger(__name__)

COMPILE_SECONDS = 5.0
# The header that names keywords of schemas which an answer need not keep to.
UNENFORCED = "x-caravan-unenforced"

_MAX_LOGGED = 20
_MAX_LINE = 1_000
_MAX_BYTES = 262_144
_NUM_KEPT = 256
# Constraints of no more bytes than these do not wait for larger ones.
_SMALL = 4096
# How grammars name tokens, as GBNF may.
_NAMED = "<["

# What is compiled, and for which vocabulary if it names tokens.
_Key = tuple[bytes, TextVocab | None]


@dataclass(frozen=True)
class Compiled:
    """A constraint for the engine, and the check of finished answers.

    With `is_exact`, that is no use where readers may have left out white space.
    """

    constraint: Constraint
    check: Check | None
    unenforced: tuple[str, ...] = ()
    is_exact: bool = False


class ConstraintCompiler:
    """Compiles the constraints of all requests; equal ones once, as long as they are remembered.

    Belongs to one event loop.
    """

    def __init__(self, *, seconds: float = COMPILE_SECONDS) -> None:
        self._seconds = seconds
        self._kept: OrderedDict[_Key, tuple[str, Compiling[Any]]] = OrderedDict()
        self._small, self._large = CompileThread(), CompileThread()

    async def compile(
        self, fields: ConstraintFields, context: RequestContext, names: TextVocab | None = None
    ) -> Compiled | None:
        """Compile the request's constraint, if it has one; raises InvalidRequestError that names the field.

        `names` is the vocabulary of which a grammar may name tokens.
        """
        request = wanted(fields)
        if request is None:
            return None
        source = msgspec.json.encode(request.source, enc_hook=repr)
        if len(source) > _MAX_BYTES:
            raise _refusal(request, f"is larger than {_MAX_BYTES} bytes")
        try:
            compiled = await self._remembered(
                request.kind.value.encode() + b"\0" + source,
                lambda grammars: _compiled(grammars, request, names),
                context.principal,
                names if request.kind is Kind.GBNF else None,
            )
        except TimeoutError:
            raise _refusal(request, f"takes longer than {self._seconds:g} s to compile") from None
        except (GrammarError, SchemaError) as error:
            # The same failure may be told to several requests, under different names of the field.
            raise _refusal(request, _complaint(error)) from error
        except PanicError as error:
            raise _refusal(request, "cannot be compiled") from error
        _tell(context, tuple(f"{request.param}{place}" for place in compiled.unenforced))
        # Others may have named it in another field; so a place says nothing of the field.
        return replace(compiled, constraint=msgspec.structs.replace(compiled.constraint, param=request.param))

    async def compile_calls(self, calls: Calls, context: RequestContext) -> BoundCalls:
        """Compile what calls may be; raises InvalidRequestError that names the tool and the place."""
        source = msgspec.json.encode(calls.identity(), enc_hook=repr)
        if len(source) > _MAX_BYTES:
            message = f"'{calls.param}' have schemas of more than {_MAX_BYTES} bytes."
            raise InvalidRequestError(message, param=calls.param, code="invalid_constraint")
        try:
            made: BoundCalls = await self._remembered(
                b"calls\0" + source, calls.constraint, context.principal
            )
        except TimeoutError:
            message = f"'{calls.param}' take longer than {self._seconds:g} s to compile."
            raise InvalidRequestError(message, param=calls.param, code="invalid_constraint") from None
        except PanicError as error:
            message = f"'{calls.param}' cannot be compiled."
            raise InvalidRequestError(message, param=calls.param, code="invalid_constraint") from error
        _tell(context, made.unenforced)
        return replace(made, constraint=msgspec.structs.replace(made.constraint, param=calls.param))

    async def _remembered(
        self,
        source: bytes,
        work: Callable[[GrammarCompiler], T],
        principal: Principal,
        names: TextVocab | None = None,
    ) -> T:
        """What `work` gives for a source, and a vocabulary; raises what it raises, or TimeoutError."""
        key = hashlib.blake2b(source).digest(), names
        asking = principal.id
        owner, compiling = self._kept.get(key, (asking, None))
        # Nobody waits for another key's turn.
        if compiling is None or compiling.is_given_up or (owner != asking and not compiling.has_begun):
            lane = self._small if len(source) <= _SMALL else self._large
            compiling = lane.compile(work, principal)
            self._kept[key] = asking, compiling
            if len(self._kept) > _NUM_KEPT:
                self._forget_one()
        self._kept.move_to_end(key)
        try:
            return cast(T, await compiling.result(self._seconds))
        except (MemoryError, MemoryShortError):
            # The next request may find more.
            self._kept.pop(key, None)
            raise
        except (TimeoutError, asyncio.CancelledError):
            # The thread reads a vocabulary that is freed once the request has let its model go.
            if names is not None:
                await compiling.ended()
            raise

    def _forget_one(self) -> None:
        """Forget what was used least recently, of the key that has the most here."""
        num_kept = Counter(owner for owner, _ in self._kept.values())
        most = max(num_kept, key=num_kept.__getitem__)
        del self._kept[next(key for key, (owner, _) in self._kept.items() if owner == most)]


def _compiled(grammars: GrammarCompiler, request: Wanted, names: TextVocab | None) -> Compiled:
    match request.kind:
        case Kind.REGEX:
            constraint = grammars.from_regex(cast(str, request.source))
        case Kind.LARK:
            constraint = grammars.from_lark(cast(str, request.source))
        case Kind.GBNF:
            constraint = grammars.from_gbnf(cast(str, request.source), names)
        case Kind.CHOICE:
            constraint = grammars.from_choices(cast(list[str], request.source))
        case _:
            return _compiled_schema(grammars, request, cast(dict[str, Any], request.source))
    return Compiled(constraint, *_check(request, constraint))


def _check(request: Wanted, constraint: Constraint) -> tuple[Check | None, tuple[str, ...], bool]:
    """The check of text that is no JSON, and what of a grammar is not kept to."""
    if request.kind is Kind.CHOICE:
        choices = cast(list[str], request.source)
        return choice_check(choices), (), any(choice != choice.strip() for choice in choices)
    if request.kind is Kind.REGEX:
        return regex_check(cast(str, request.source)), (), True
    # Tokens of a model are no text.
    is_text = _NAMED not in constraint.grammar
    unenforced = ("#temperature",) if has_temperature(constraint.grammar) else ()
    return grammar_check(constraint.grammar) if is_text else None, unenforced, True


def _compiled_schema(grammars: GrammarCompiler, request: Wanted, schema: dict[str, Any]) -> Compiled:
    found = plain(schema)
    if request.kind is Kind.STRICT_SCHEMA:
        check_strict(found)
    made = located(grammars, schema, written=found)
    unenforced = tuple(f"#{pointer(path)}" for path in found.unenforced)
    return Compiled(made.constraint, SchemaChecker(found.schema).fault, unenforced)


def _tell(context: RequestContext, unenforced: tuple[str, ...]) -> None:
    """Say what of the request's schemas is not kept to."""
    if unenforced:
        context.metrics.note(UNENFORCED, unenforced)
        shown = ", ".join(unenforced[:_MAX_LOGGED])
        log.info("not enforced, %d in all: %s", len(unenforced), shown[:_MAX_LINE])


def answer_checker(
    compiled: Compiled | None,
    params: SamplingParams,
    calls: Mapping[str, Check] | None = None,
    *,
    is_trimmed: bool = False,
) -> AnswerChecker | None:
    """Make the check of answers and their calls; none of content where the request itself may cut it off.

    `is_trimmed` where readers may leave out white space around the content.
    """
    may_be_cut = bool(params.stop or params.stop_token_ids)
    is_known = compiled is not None and not may_be_cut and not (compiled.is_exact and is_trimmed)
    check = compiled.check if compiled is not None and is_known else None
    return AnswerChecker(check, calls or {}, may_be_cut) if check or calls else None


def _complaint(error: GrammarError | SchemaError) -> str:
    if isinstance(error, SchemaError):
        return f"at {error.pointer}: {error.message}"
    if error.line is not None:
        return f"at line {error.line}, column {error.column}: {error.message}"
    return f"cannot be used: {error.message}"


def _refusal(request: Wanted, complaint: str) -> InvalidRequestError:
    return InvalidRequestError(
        f"'{request.param}' {complaint}.".replace("..", "."), param=request.param, code="invalid_constraint"
    )
