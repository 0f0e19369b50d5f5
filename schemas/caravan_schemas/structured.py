"""Fields that constrain what an answer may be, under the names of OpenAI, vLLM and llama.cpp."""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from caravan_schemas.base import Schema, by_json_type, by_type

# Limits on work, not on meaning; sizes are counted in characters.
MAX_GRAMMAR = 65_536
MAX_PATTERN = 16_384
MAX_CHOICES = 10_000

Pattern = Annotated[str, StringConstraints(max_length=MAX_PATTERN)]
Choices = Annotated[list[str], Field(min_length=1, max_length=MAX_CHOICES, fail_fast=True)]
Grammar = Annotated[str, StringConstraints(min_length=1, max_length=MAX_GRAMMAR)]
_Gbnf = Annotated[str, StringConstraints(max_length=MAX_GRAMMAR)]


SchemaSource = Annotated[
    dict[str, Any] | str,
    by_json_type("schema_kind", "must be a JSON schema: an object, or a string that holds one"),
]


class TextFormat(Schema):
    """No constraint."""

    type: Literal["text"]


class JsonObjectFormat(Schema):
    """A JSON object. `schema` is an extension: a JSON schema that it satisfies."""

    type: Literal["json_object"]
    schema_: dict[str, Any] | None = Field(default=None, alias="schema")


class NamedSchema(Schema):
    """A JSON schema, which the answer satisfies in any case.

    `strict` adds OpenAI's rules for strict schemas.
    """

    name: str = Field(pattern="^[a-zA-Z0-9_-]{1,64}$")
    description: str | None = None
    schema_: dict[str, Any] = Field(alias="schema")
    strict: bool | None = None


class JsonSchemaFormat(Schema):
    """JSON that satisfies a schema."""

    type: Literal["json_schema"]
    json_schema: NamedSchema


ResponseFormat = Annotated[
    TextFormat | JsonObjectFormat | JsonSchemaFormat,
    by_type("format_kind"),
]


class StructuredOutputs(Schema):
    """One of vLLM's kinds of constraints."""

    json_: SchemaSource | None = Field(
        default=None, alias="json", description="A JSON schema that the answer satisfies."
    )
    regex: Pattern | None = Field(
        default=None, description="A regular expression that the whole answer matches, in Rust's syntax."
    )
    choice: Choices | None = Field(default=None, description="Texts of which the answer is one.")
    grammar: Grammar | None = Field(
        default=None,
        description="A grammar that the answer matches, in llama.cpp's GBNF or in llguidance's dialect of "
        "Lark.",
    )
    json_object: bool | None = Field(default=None, description="True: the answer is a JSON object.")


class PeersConstraintFields(Schema):
    """Constraints under the names of vLLM, SGLang and llama.cpp."""

    structured_outputs: StructuredOutputs | None = Field(
        default=None,
        description="A constraint in vLLM's form: one of `json`, `regex`, `choice`, `grammar` and "
        "`json_object`.",
    )
    json_schema: SchemaSource | None = Field(
        default=None,
        description="A JSON schema that the answer satisfies, in llama.cpp's form or, as a text, SGLang's.",
    )
    grammar: _Gbnf | None = Field(
        default=None,
        description="A grammar in GBNF that the answer matches, in llama.cpp's form. An empty one is no "
        "constraint.",
    )
    ebnf: _Gbnf | None = Field(
        default=None,
        description="SGLang's name of `structured_outputs.grammar`. An empty one is no constraint.",
    )
    regex: Pattern | None = Field(
        default=None,
        description="SGLang's name of `structured_outputs.regex`. An empty one is no constraint.",
    )
    guided_json: SchemaSource | None = Field(
        default=None, description="The older name of `structured_outputs.json`."
    )
    guided_regex: Pattern | None = Field(
        default=None, description="The older name of `structured_outputs.regex`."
    )
    guided_choice: Choices | None = Field(
        default=None, description="The older name of `structured_outputs.choice`."
    )
    guided_grammar: Grammar | None = Field(
        default=None, description="The older name of `structured_outputs.grammar`."
    )


class ConstraintFields(PeersConstraintFields):
    """Constraints of both completion routes; a request has one at most, under one name or more."""

    response_format: ResponseFormat | None = Field(
        default=None,
        description="`text` (the default), `json_object` for any JSON object, or `json_schema` for JSON that "
        "satisfies a schema, as OpenAI has it. A request has one constraint at most, in whatever "
        "form; the same one may stand in several.",
    )
