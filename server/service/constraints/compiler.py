"""Constraints of requests into grammars: checked and compiled beside the event loop, in bounded time."""

import asyncio
import hashlib
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import cast

import msgspec

from schemas.structured import ConstraintFields
from server.engine.grammar import GrammarCompiler, GrammarError
from server.engine.params import Constraint, SamplingParams
from server.errors import InvalidRequestError
from server.loaded_model import TextVocab
from server.service.constraints import schema_check
from server.service.constraints.located import located
from server.service.constraints.request import Kind, Wanted, wanted
from server.service.constraints.schema_check import SchemaError
from server.service.constraints.verdict import Verdict

COMPILE_SECONDS = 5.0

_MAX_BYTES = 262_144
_NUM_KEPT = 256


# What is compiled, and for which vocabulary if it names tokens.
_Key = tuple[bytes, TextVocab | None]


@dataclass(frozen=True)
class Compiled:
    """A constraint for the engine, and what finished answers are checked against."""

    constraint: Constraint
    verdict: Verdict


class ConstraintCompiler:
    """Compiles the constraints of all requests; equal ones once, as long as they are remembered.

    Belongs to one event loop.
    """

    def __init__(self, *, seconds: float = COMPILE_SECONDS) -> None:
        self._seconds = seconds
        self._grammars = GrammarCompiler()
        self._kept: OrderedDict[_Key, asyncio.Future[Compiled]] = OrderedDict()
        self._threads = ThreadPoolExecutor(2, "constraints")

    async def compile(self, fields: ConstraintFields, names: TextVocab | None = None) -> Compiled | None:
        """The request's constraint, None without one; raises InvalidRequestError that names the field.

        `names` is the vocabulary of which a grammar may name tokens.
        """
        request = wanted(fields)
        if request is None:
            return None
        source = msgspec.json.encode(request.source)
        if len(source) > _MAX_BYTES:
            raise _refusal(request, f"is larger than {_MAX_BYTES} bytes")
        digest = hashlib.blake2b(request.kind.value.encode() + b"\0" + source).digest()
        key = digest, names if request.kind is Kind.GBNF else None
        compiling = self._kept.get(key)
        if compiling is None:
            loop = asyncio.get_running_loop()
            compiling = loop.run_in_executor(self._threads, self._compile, request, names)
            self._keep(key, compiling)
        self._kept.move_to_end(key)
        try:
            return await asyncio.wait_for(asyncio.shield(compiling), self._seconds)
        except TimeoutError:
            raise _refusal(request, f"takes longer than {self._seconds:g} s to compile") from None
        except (GrammarError, SchemaError) as error:
            # The same failure may be told to several requests, under different names of the field.
            raise _refusal(request, _complaint(error)) from error

    def _keep(self, key: _Key, compiling: asyncio.Future[Compiled]) -> None:
        # Nobody may be waiting for it any more when it fails; asyncio would complain.
        compiling.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._kept[key] = compiling
        if len(self._kept) > _NUM_KEPT:
            self._kept.popitem(last=False)

    def _compile(self, request: Wanted, names: TextVocab | None) -> Compiled:
        match request.kind:
            case Kind.REGEX:
                constraint = self._grammars.from_regex(cast(str, request.source))
            case Kind.LARK:
                constraint = self._grammars.from_lark(cast(str, request.source))
            case Kind.GBNF:
                constraint = self._grammars.from_gbnf(cast(str, request.source), names)
            case Kind.CHOICE:
                constraint = self._grammars.from_choices(cast(list[str], request.source))
            case _:
                assert isinstance(request.source, dict)
                schema_check.check(request.source)
                if request.kind is Kind.STRICT_SCHEMA:
                    schema_check.check_strict(request.source)
                constraint = located(self._grammars, request.source)
        return Compiled(constraint, Verdict(request))


def constraint(compiled: Compiled | None) -> Constraint | None:
    """What the engine gets."""
    return None if compiled is None else compiled.constraint


def verdict(compiled: Compiled | None, params: SamplingParams) -> Verdict | None:
    """What judges the answers; nothing where the request itself may cut them off."""
    if compiled is None or params.stop or params.stop_token_ids:
        return None
    return compiled.verdict


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
