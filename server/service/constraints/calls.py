"""Calls of tools as constraints: arguments keep to their schemas, as far as those can be enforced."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from server.beginning import Beginning
from server.chat.tool_spec import ToolSpec
from server.engine.grammar import GrammarCompiler, GrammarError
from server.engine.params import Constraint
from server.errors import InvalidRequestError
from server.service.constraints import schema_check
from server.service.constraints.located import located
from server.service.constraints.schema_check import SchemaError
from server.service.tool_request import OfferedTool

_ANY_OBJECT: Mapping[str, Any] = {"type": "object"}


@dataclass(frozen=True, kw_only=True)
class Calls:
    """What the answer's calls may be.

    `write` makes the grammar of calls out of tools, in the format of the model of `model_id`. With `after`
    and `begins` it binds from these on; with `otherwise`, an answer that is not calls keeps to that grammar.
    `param` is the field that offers the tools.
    """

    param: str
    model_id: str
    tools: Sequence[OfferedTool]
    is_parallel: bool
    write: Callable[[Sequence[ToolSpec]], str]
    after: tuple[str, ...] = ()
    begins: Beginning | None = None
    otherwise: Constraint | None = None

    def identity(self) -> list[object]:
        """All that the constraint depends on, and the paths that errors name."""
        tools = [
            [t.path, t.name, t.spec.parameters, t.spec.strict, t.spec.input_grammar, t.is_custom]
            for t in self.tools
        ]
        otherwise = None if self.otherwise is None else self.otherwise.grammar
        return [self.model_id, self.param, tools, self.is_parallel, self.after, self.begins, otherwise]

    def constraint(self, grammars: GrammarCompiler) -> Constraint:
        """The grammar, checked. Raises InvalidRequestError.

        A strict tool whose schema cannot be enforced is refused at the place; another one's arguments are
        then any JSON object.
        """
        tools = [_with_rules(grammars, _checked(tool)) for tool in self.tools]
        try:
            return self._compiled(grammars, tools)
        except GrammarError:
            # The whole does not say which tool is to blame.
            tools = [_compilable(grammars, tool) for tool in tools]
        try:
            return self._compiled(grammars, tools)
        except GrammarError:
            tools = [tool if tool.spec.strict else _relaxed(tool) for tool in tools]
        try:
            return self._compiled(grammars, tools)
        except GrammarError as error:
            message = f"'{self.param}' cannot be used together: {error.message}."
            raise InvalidRequestError(message, param=self.param, code="invalid_constraint") from error

    def _compiled(self, grammars: GrammarCompiler, tools: Sequence[OfferedTool]) -> Constraint:
        text = self.write([tool.spec for tool in tools])
        if self.otherwise is not None:
            nested = f"bound: %lark {{\n{self.otherwise.grammar}\n}}\ncalls: %lark {{\n{text}\n}}"
            text = f"start: bound | calls\n{nested}"
        is_ours = all(tool.spec.input_grammar is None for tool in tools)
        return grammars.from_tool_grammar(text, self.after, self.begins, forces=is_ours)


def _checked(tool: OfferedTool) -> OfferedTool:
    """The tool if its schema's keywords can be enforced, and what is left of it otherwise."""
    schema = dict(tool.spec.parameters)
    try:
        schema_check.check(schema)
        if tool.spec.strict and not tool.is_custom:
            schema_check.check_strict(schema)
    except SchemaError as error:
        return _without_schema(tool, error)
    return tool


def _with_rules(grammars: GrammarCompiler, tool: OfferedTool) -> OfferedTool:
    """The tool with the rules of its input's grammar, if it has one."""
    if tool.spec.input_grammar is None:
        return tool
    try:
        rules = grammars.quoted_rules(tool.spec.input_grammar)
    except GrammarError as error:
        place = "" if error.line is None else f"at line {error.line}, column {error.column}: "
        raise _input_refusal(tool, f"{place}{error.message}") from error
    return replace(tool, spec=replace(tool.spec, input_rules=rules))


def _input_refusal(tool: OfferedTool, complaint: str) -> InvalidRequestError:
    param = f"{tool.path}.format.grammar.definition"
    message = f"'{param}' cannot be used: {complaint}.".replace("..", ".")
    return InvalidRequestError(message, param=param, code="invalid_constraint")


def _compilable(grammars: GrammarCompiler, tool: OfferedTool) -> OfferedTool:
    try:
        located(grammars, dict(tool.spec.parameters))
    except SchemaError as error:
        return _without_schema(tool, error)
    return tool


def _without_schema(tool: OfferedTool, error: SchemaError) -> OfferedTool:
    if not tool.spec.strict:
        return _relaxed(tool)
    if tool.is_custom:
        raise _input_refusal(tool, error.message) from error
    param = f"{tool.path}.parameters"
    message = f"'{param}' at {error.pointer}: {error.message}.".replace("..", ".")
    raise InvalidRequestError(message, param=param, code="invalid_constraint") from error


def _relaxed(tool: OfferedTool) -> OfferedTool:
    return replace(tool, spec=replace(tool.spec, parameters=_ANY_OBJECT))
