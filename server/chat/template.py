"""Chat templates: the Jinja text inside a GGUF, in a sandbox with the environment that real ones expect."""

import datetime
import json
from collections.abc import Mapping, Sequence
from typing import NoReturn

import jinja2
import jinja2.ext
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


class TemplateSyntaxError(Exception):
    """The template does not compile; it never will, so the server should not start with it."""


class _RefusalError(Exception):
    """What `raise_exception` inside a template raises."""


class ChatTemplate:
    """A compiled template. Rendering changes nothing, so any thread may do it.

    Raises TemplateSyntaxError.
    """

    def __init__(self, source: str, *, bos_token: str = "", eos_token: str = "") -> None:
        self.source = source
        self.knows_developer = "developer" in source
        self._tokens = {"bos_token": bos_token, "eos_token": eos_token}
        try:
            self._template = _environment().from_string(source)
        except jinja2.TemplateError as error:
            raise TemplateSyntaxError(f"the chat template does not compile: {error}") from error

    def render(self, messages: Sequence[Mapping[str, object]], *, add_generation_prompt: bool = True) -> str:
        """The prompt text. A template that refuses or fails on the messages is an InvalidRequestError."""
        try:
            return self._template.render(
                messages=messages,
                add_generation_prompt=add_generation_prompt,
                tools=None,
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
