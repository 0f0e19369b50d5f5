"""Chat templates: the Jinja text inside a GGUF, in a sandbox with the environment that real ones expect."""

import datetime
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn

import jinja2
import jinja2.ext
import jinja2.meta
import jinja2.nodes
import jinja2.parser
import jinja2.sandbox

from caravan.chat.rendering.prompt_template import GIVEN, TemplateSyntaxError
from caravan.errors import InvalidRequestError


class _RefusalError(Exception):
    """What `raise_exception` inside a template raises."""


class ChatTemplate:
    """A compiled template. Rendering changes nothing, so any thread may do it.

    `asked` are the variables that it reads without having set them, `variables` those of them that a request
    may set. Raises TemplateSyntaxError.
    """

    def __init__(self, source: str, *, bos_token: str = "", eos_token: str = "") -> None:
        self._tokens = {"bos_token": bos_token, "eos_token": eos_token}
        environment = _environment()
        try:
            tree = environment.parse(source)
            asked = jinja2.meta.find_undeclared_variables(tree)
            self._template = environment.from_string(tree)
        except (jinja2.TemplateError, RecursionError, MemoryError, OverflowError) as error:
            raise TemplateSyntaxError(f"the chat template does not compile: {error}") from error
        self.asked = frozenset(asked) - environment.globals.keys()
        self.variables = self.asked - GIVEN

    def render(
        self,
        messages: Sequence[Mapping[str, object]],
        *,
        add_generation_prompt: bool = True,
        tools: Sequence[Mapping[str, object]] | None = None,
        variables: Mapping[str, Any] | None = None,
    ) -> str:
        """The prompt text. A template that refuses or fails on the messages is an InvalidRequestError."""
        values = {**(variables or {}), "messages": messages, "tools": tools}
        return self.fill(values, add_generation_prompt=add_generation_prompt)

    def fill(self, values: Mapping[str, Any], *, add_generation_prompt: bool) -> str:
        """Like `render`; values may leave `tools` undefined. Raises MemoryError, too."""
        try:
            return self._template.render(
                **{name: _given(value) for name, value in values.items()},
                add_generation_prompt=add_generation_prompt,
                documents=None,
                **self._tokens,
            )
        except _RefusalError as refusal:
            message = str(refusal) or "The model's chat template refuses these messages."
            raise InvalidRequestError(message, param="messages", code="invalid_value") from refusal
        except MemoryError:
            raise
        except Exception as error:
            # A template is a program out of a file; whatever it raises, it raised over these messages.
            message = f"The model's chat template fails on these messages: {type(error).__name__}: {error}"
            raise InvalidRequestError(message[:400], param="messages", code="invalid_value") from error


class _GivenList(list[Any]):
    """A list of the request, which a template must not change."""


class _GivenDict(dict[str, Any]):
    """An object of the request, which a template must not change."""


def _given(value: object) -> object:
    """A value such that the sandbox knows it from the template's own."""
    if isinstance(value, list | tuple):
        return _GivenList(map(_given, value))
    if isinstance(value, Mapping):
        return _GivenDict({key: _given(item) for key, item in value.items()})
    return value


class _Environment(jinja2.sandbox.SandboxedEnvironment):
    """A template may change lists and objects that it has made, and no others."""

    def is_safe_attribute(self, obj: object, attr: str, value: object) -> bool:
        """Whether the template may read this attribute."""
        if isinstance(obj, _GivenList | _GivenDict) and jinja2.sandbox.modifies_known_mutable(obj, attr):
            return False
        return super().is_safe_attribute(obj, attr, value)


class _GenerationTag(jinja2.ext.Extension):
    """`{% generation %}` marks what the model wrote, for those who train; here it is transparent."""

    tags = {"generation"}  # noqa: RUF012 (jinja's own declaration)

    def parse(self, parser: jinja2.parser.Parser) -> list[jinja2.nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _environment() -> _Environment:
    environment = _Environment(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.loopcontrols", _GenerationTag],
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = _strftime_now
    return environment


def _to_json(
    value: object,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Jinja's own filter escapes HTML; templates are written against this one."""
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
        default=_listed,
    )


def _listed(value: object) -> list[Any]:
    """What filters such as `map` give is meant as a list."""
    if isinstance(value, Iterator):
        return list(value)
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def _raise_exception(message: object) -> NoReturn:
    raise _RefusalError(str(message))


def _strftime_now(form: str) -> str:
    return datetime.datetime.now().strftime(form)
