"""Calls of tools as constraints: arguments keep to their schemas, as far as those can be enforced."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from caravan.api.prompt.tools import OfferedTool
from caravan.api.structured.checker import Check, grammar_check, input_check
from caravan.chat.tool_formats.tool_spec import ToolSpec
from caravan.errors import InvalidRequestError
from caravan.grammars.call_prefix import CallPrefix
from caravan.grammars.compiler import GrammarCompiler, GrammarError
from caravan.grammars.constraint import Constraint
from caravan.grammars.json_schema.json_pointer import pointer
from caravan.grammars.json_schema.lenient import kept, nothing
from caravan.grammars.json_schema.llguidance_fixes import prepared
from caravan.grammars.json_schema.locate_error import located
from caravan.grammars.json_schema.normalize import PlainSchema, SchemaError, plain
from caravan.grammars.json_schema.strict import check_strict
from caravan.grammars.json_schema.validator import SchemaChecker

Unkept = tuple[Mapping[str, Any], str]

_UNKEPT = "cannot be enforced: this model writes arguments one by one, and text without quotes"


def _nothing_unkept(_tool: ToolSpec) -> Iterable[Unkept]:
    return ()


@dataclass(frozen=True)
class BoundCalls:
    """A constraint for the engine, and the checks of finished calls, by the names of their tools.

    `unenforced` are the keywords that neither keeps to, by path and JSON pointer. Whoever reads the calls
    has to know the tools as the constraint does, as `specs`.
    """

    constraint: Constraint
    unenforced: tuple[str, ...]
    checks: Mapping[str, Check]
    specs: tuple[ToolSpec, ...]


@dataclass(frozen=True)
class _Tool:
    """A tool with its schema as it is kept to. `original` has it as it came, `plain` as it is checked."""

    original: OfferedTool
    spec: ToolSpec
    plain: Mapping[str, Any]
    unenforced: tuple[str, ...] = ()

    @property
    def has_to_hold(self) -> bool:
        return self.spec.strict

    def check(self) -> Check:
        """Make the check of calls of this tool."""
        if self.spec.input_grammar is not None:
            return grammar_check(self.spec.input_grammar)
        schema = {**self.plain, "type": "object"}
        return input_check(schema) if self.original.is_custom else SchemaChecker(schema).fault


@dataclass(frozen=True, kw_only=True)
class Calls:
    """What the answer's calls may be.

    `write` makes the grammar of calls out of tools, in the format of the model of `model_id`; with `is_free`,
    that of answers with calls or without. With `after`
    and `begins` it binds from these on; with `otherwise`, an answer that is not calls keeps to that grammar.
    `param` is the field that offers the tools. `unkept` tells which keywords of a tool's schema the format
    leaves out.
    """

    param: str
    model_id: str
    tools: Sequence[OfferedTool]
    is_parallel: bool
    is_free: bool = False
    write: Callable[[Sequence[ToolSpec]], str]
    after: tuple[str, ...] = ()
    begins: CallPrefix | None = None
    otherwise: Constraint | None = None
    unkept: Callable[[ToolSpec], Iterable[Unkept]] = _nothing_unkept

    def identity(self) -> list[object]:
        """List all that the constraint depends on, and the paths that errors name."""
        tools = [
            [t.path, t.name, t.spec.parameters, t.spec.strict, t.spec.input_grammar, t.is_custom]
            for t in self.tools
        ]
        otherwise = None if self.otherwise is None else self.otherwise.grammar
        form = [self.is_parallel, self.is_free, self.after, self.begins]
        return [self.model_id, self.param, tools, *form, otherwise]

    def constraint(self, grammars: GrammarCompiler) -> BoundCalls:
        """Write the grammar and check it. Raises InvalidRequestError.

        A strict tool whose schema cannot be enforced is refused at the place; of another one's schema, as
        much is kept to as can be.
        """
        tools = [_with_rules(grammars, self._kept(tool, _plain(tool))) for tool in self.tools]
        try:
            return self._compiled(grammars, tools)
        except GrammarError:
            # The whole does not say which tool is to blame.
            tools = [
                _with_rules(grammars, self._kept(tool, _compilable(grammars, tool))) for tool in self.tools
            ]
        try:
            return self._compiled(grammars, tools)
        except GrammarError:
            tools = [tool if tool.has_to_hold else _tool(tool.original, nothing()) for tool in tools]
        try:
            return self._compiled(grammars, tools)
        except GrammarError as error:
            message = f"'{self.param}' cannot be used together: {error.message}."
            raise InvalidRequestError(message, param=self.param, code="invalid_constraint") from error

    def _compiled(self, grammars: GrammarCompiler, tools: Sequence[_Tool]) -> BoundCalls:
        text = self.write([tool.spec for tool in tools])
        if self.otherwise is not None:
            nested = f"bound: %lark {{\n{self.otherwise.grammar}\n}}\ncalls: %lark {{\n{text}\n}}"
            text = f"start: bound | calls\n{nested}"
        is_ours = all(tool.spec.input_grammar is None for tool in tools)
        made = grammars.from_tool_grammar(text, self.after, self.begins, forces=is_ours)
        unenforced = tuple(place for tool in tools for place in tool.unenforced)
        checks = {tool.spec.name: tool.check() for tool in tools}
        return BoundCalls(made, unenforced, checks, tuple(tool.spec for tool in tools))

    def _kept(self, tool: OfferedTool, found: PlainSchema) -> _Tool:
        """A tool whose schema the format can keep to; of one that is not strict, less of it may be left."""
        for is_last in () if tool.is_custom else (False, True):
            ready = prepared(found)
            left_out = [
                (*ready.places.get(id(schema), ()), *(() if is_last else (keyword,)))
                for schema, keyword in self.unkept(replace(tool.spec, parameters=ready.schema))
            ]
            if not left_out:
                break
            if tool.spec.strict:
                raise _refusal(tool, SchemaError(_UNKEPT, left_out[0]))
            dropped = {*found.unenforced, *left_out}
            found = (
                nothing()
                if () in dropped
                else plain(dict(tool.spec.parameters), is_lax=True, dropped=dropped)
            )
        return _tool(tool, found)


def _plain(tool: OfferedTool) -> PlainSchema:
    """The tool's schema written plainly, whether that makes a grammar or not."""
    try:
        found = plain(dict(tool.spec.parameters), is_lax=not tool.spec.strict)
        if tool.spec.strict and not tool.is_custom:
            check_strict(found)
    except SchemaError as error:
        if tool.spec.strict:
            raise _refusal(tool, error) from error
        return nothing()
    return found


def _compilable(grammars: GrammarCompiler, tool: OfferedTool) -> PlainSchema:
    schema = dict(tool.spec.parameters)
    if not tool.spec.strict:
        return kept(grammars, schema)
    try:
        return located(grammars, schema).plain
    except SchemaError as error:
        raise _refusal(tool, error) from error


def _tool(tool: OfferedTool, found: PlainSchema) -> _Tool:
    # Arguments are an object, whatever is left of their schema.
    schema = {**prepared(found).schema, "type": "object"}
    unenforced = tuple(f"{tool.path}.parameters#{pointer(path)}" for path in found.unenforced)
    return _Tool(tool, replace(tool.spec, parameters=schema), found.schema, unenforced)


def _with_rules(grammars: GrammarCompiler, tool: _Tool) -> _Tool:
    """The tool with the rules of its input's grammar, if it has one."""
    if tool.spec.input_grammar is None:
        return tool
    try:
        rules = grammars.quoted_rules(tool.spec.input_grammar)
    except GrammarError as error:
        place = "" if error.line is None else f"at line {error.line}, column {error.column}: "
        raise _input_refusal(tool.original, f"{place}{error.message}") from error
    return replace(tool, spec=replace(tool.spec, input_rules=rules))


def _input_refusal(tool: OfferedTool, complaint: str) -> InvalidRequestError:
    param = f"{tool.path}.format.grammar.definition"
    message = f"'{param}' cannot be used: {complaint}.".replace("..", ".")
    return InvalidRequestError(message, param=param, code="invalid_constraint")


def _refusal(tool: OfferedTool, error: SchemaError) -> InvalidRequestError:
    if tool.is_custom:
        return _input_refusal(tool, error.message)
    param = f"{tool.path}.parameters"
    message = f"'{param}' at {error.pointer}: {error.message}.".replace("..", ".")
    return InvalidRequestError(message, param=param, code="invalid_constraint")
