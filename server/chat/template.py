"""Chat templates: the Jinja text inside a GGUF, in a sandbox with the environment that real ones expect."""

import datetime
import functools
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import jinja2
import jinja2.ext
import jinja2.meta
import jinja2.nodes
import jinja2.parser
import jinja2.sandbox

from server.errors import InvalidRequestError

# What a model without a template of its own gets: the format most chat models were tuned on.
CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


# Variables that every template gets; a request cannot set them.
GIVEN = frozenset({"messages", "tools", "documents", "add_generation_prompt", "bos_token", "eos_token"})

_TESTS_FOR_NONE = re.compile(r"content['\"]?\]? is (not )?none", re.IGNORECASE)
_ID_LENGTH = re.compile(r"\bid['\"]?\]? *\| *length *!= *(\d{1,2})\b")


class TemplateSyntaxError(Exception):
    """The template does not compile; it never will, so the server should not start with it."""


class _RefusalError(Exception):
    """What `raise_exception` inside a template raises."""


class ChatTemplate:
    """A compiled template. Rendering changes nothing, so any thread may do it.

    `variables` are those that it asks for and a request may set. `tests_for_none` tells whether it expects
    that content may be null. Of its own `call_id_length` it demands that ids of calls be.

    Raises TemplateSyntaxError.
    """

    def __init__(self, source: str, *, bos_token: str = "", eos_token: str = "") -> None:
        self.source = source
        self.knows_developer = "developer" in source
        self.tests_for_none = _TESTS_FOR_NONE.search(source) is not None
        length = _ID_LENGTH.search(source)
        self.call_id_length = None if length is None else int(length[1])
        self._tokens = {"bos_token": bos_token, "eos_token": eos_token}
        environment = _environment()
        try:
            self._template = environment.from_string(source)
            asked = jinja2.meta.find_undeclared_variables(environment.parse(source))
        except jinja2.TemplateError as error:
            raise TemplateSyntaxError(f"the chat template does not compile: {error}") from error
        self.knows_tools = "tools" in asked
        self.variables = frozenset(asked) - GIVEN - environment.globals.keys()

    @functools.cached_property
    def wants_argument_text(self) -> bool:
        """Whether calls can only be shown with their arguments as JSON text, where most want an object."""
        return self._fails_on_call({"a": "b"}) and not self._fails_on_call('{"a": "b"}')

    def _fails_on_call(self, arguments: object) -> bool:
        function = {"name": "f", "arguments": arguments}
        call = {"id": "0" * (self.call_id_length or 9), "type": "function", "function": function}
        content = None if self.tests_for_none else ""
        messages: list[dict[str, object]] = [
            {"role": "user", "content": "x"},
            {"role": "assistant", "content": content, "tool_calls": [call]},
            {"role": "tool", "content": "y", "tool_call_id": call["id"], "name": "f"},
        ]
        try:
            self.render(messages)
        except InvalidRequestError:
            return True
        return False

    def render(
        self,
        messages: Sequence[Mapping[str, object]],
        *,
        add_generation_prompt: bool = True,
        tools: Sequence[Mapping[str, object]] | None = None,
        variables: Mapping[str, Any] | None = None,
    ) -> str:
        """The prompt text. A template that refuses or fails on the messages is an InvalidRequestError."""
        try:
            return self._template.render(
                **(variables or {}),
                messages=messages,
                add_generation_prompt=add_generation_prompt,
                tools=tools,
                documents=None,
                **self._tokens,
            )
        except _RefusalError as refusal:
            raise InvalidRequestError(str(refusal), param="messages", code="invalid_value") from refusal
        except Exception as error:
            # A template is a program out of a file; whatever it raises, it raised over these messages.
            message = f"The model's chat template fails on these messages: {type(error).__name__}: {error}"
            raise InvalidRequestError(message, param="messages", code="invalid_value") from error


class _GenerationTag(jinja2.ext.Extension):
    """`{% generation %}` marks what the model wrote, for those who train; here it is transparent."""

    tags = {"generation"}  # noqa: RUF012 (jinja's own declaration)

    def parse(self, parser: jinja2.parser.Parser) -> list[jinja2.nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _environment() -> jinja2.sandbox.ImmutableSandboxedEnvironment:
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
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
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _raise_exception(message: object) -> NoReturn:
    raise _RefusalError(str(message))


def _strftime_now(form: str) -> str:
    return datetime.datetime.now().strftime(form)
