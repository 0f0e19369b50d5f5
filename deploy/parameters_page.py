"""Writes `docs/parameters.md`, the page about decoding parameters, from the schema and the rules.

`python -m deploy.parameters_page` writes it; a test compares it.
"""

from collections.abc import Iterator
from pathlib import Path

from caravan.api.params.conflicts import CLASHES, NEEDS
from caravan.api.params.presets import BUILT_IN
from caravan_schemas.decoding import MAX_COUNT
from caravan_schemas.parameters import TRUNCATING, Parameter, Stage, parameters
from caravan_schemas.sampling import SamplingFields
from pydantic.fields import FieldInfo

PAGE = Path(__file__).parent.parent / "docs" / "parameters.md"

_INTRODUCTION = """\
# Decoding parameters

<!-- Written by `python -m deploy.parameters_page` from the schema; edit that. -->

Every parameter works as described here on `/v1/chat/completions` and on `/v1/completions`, whole and
streamed. All but `n` and `best_of` work on `/v1/responses`, too. A value out of its range is refused with
a 400 that names the parameter and the range; nothing is clamped. Null is the same as not given. A name and
its alias may both be given if they agree.

"Source" is whose definition, limits and default a parameter follows. Some limits are this server's own, where
the source names none: 100 as the upper one, 0.01 as the lower one of `repeat_penalty`, and the lengths of
lists. They keep 32-bit arithmetic finite and one request's work small.

## Order

1. bias and bans: `logit_bias`, `allowed_token_ids`, `bad_words`, `ignore_eos`, `min_tokens`
2. penalties: `repeat_penalty`, then `frequency_penalty` and `presence_penalty`, over the last
   `repeat_last_n` tokens of prompt and answer
3. DRY
4. truncation, in the order of `samplers`; `min_keep` holds in each
5. temperature, unless `samplers` has it before some of 4
6. draw: plain, by mirostat or by adaptive-p

Mirostat replaces the draw. With mirostat, the defaults of the truncating samplers have no effect. Those that
the request sets, or the preset that it names, act before mirostat. Everything else acts as without it.
"""

_DEFAULTS = """\
## Defaults and presets

The first of these that says something gives the value:

1. the request itself
2. the `preset` that the request names
3. the operator (`--defaults`)
4. the recommendation of the model's file (`general.sampling.*` in the GGUF)
5. the default above

`GET /v1/models/{id}` shows the values in effect for a model, and who set them. A recommendation that is
out of range is left out, with a warning when the server starts.

These presets come with the server; `--presets file.json` adds others, or replaces these:
"""

_RULES = """\
## Combinations

What a request sets is never ignored. Only `min_tokens` and `ignore_eos` do not hold back the end of an answer
to which its constraint leaves nothing to add. Defaults give way to what a request sets:

- Of mirostat, adaptive-p and temperature 0, the one that the request sets turns off the others' defaults.
- Where `samplers` comes from a default or a preset, it is extended by the samplers that the request sets.

A combination that then still means nothing is refused with a 400 that names both fields. It passes where it
asks for nothing: with a default value, with a window of 0 tokens, and beside a switch that the request itself
turns off, such as `"mirostat": 0`. These combinations are refused:
"""

_MORE = """\
- `min_keep` while no sampler truncates
- a name and its alias with different values
- `best_of` above 1 with `stream`
- `allowed_token_ids`, `logit_bias`, `bad_words`, `ignore_eos` and `min_tokens` that together could leave no
  token to draw
- `stop_token_ids` of which none may come; `logit_bias` that has none of `allowed_token_ids`

## Seeing the chain

With `"debug": {"decoding": true}` the answer has `debug.decoding`: the stages that act, in order, each with
its values. Texts are shown as token ids. Mirostat's stage has `mu`, its state after the last token, for each
index of a choice. In a stream, this is in the chunk with the choice's `finish_reason`.
"""

# Ranges of what is neither a number nor a list.
_RANGES = {
    "logit_bias": "-100 to 100, or false; up to 16384 entries",
    "stop": "up to 16 strings of up to 1024 characters",
    "preset": "a preset's name",
    "samplers": "up to 16",
}


def page() -> str:
    """The whole page."""
    return "\n".join([_INTRODUCTION, *_parameters(), _DEFAULTS, *_presets(), "", _RULES, *_rules(), _MORE])


def _parameters() -> Iterator[str]:
    known = parameters(SamplingFields)
    yield "## Parameters\n"
    for stage in Stage:
        yield f"### {stage[0].upper()}{stage[1:]}\n"
        yield "| name | range | default | meaning | source |"
        yield "| --- | --- | --- | --- | --- |"
        for name, parameter in known.items():
            if parameter.stage is stage:
                yield _row(name, parameter, SamplingFields.model_fields[name])
        yield ""


def _row(name: str, parameter: Parameter, field: FieldInfo) -> str:
    names = ", ".join(f"`{n}`" for n in (name, *parameter.aliases))
    cells = (names, _range(name, field), _default(parameter.default), field.description, parameter.source)
    return f"| {' | '.join(map(str, cells))} |"


def _range(name: str, field: FieldInfo) -> str:
    if name in _RANGES:
        return _RANGES[name]
    low = high = longest = None
    above = ""
    for constraint in field.metadata:
        low = getattr(constraint, "ge", getattr(constraint, "gt", low))
        above = "above " if hasattr(constraint, "gt") else above
        high = getattr(constraint, "le", high)
        longest = getattr(constraint, "max_length", longest)
    if longest is not None:
        return f"up to {longest}"
    if low is None:
        return "true, false"
    if high == MAX_COUNT:
        return f"{low} or more"
    return f"{above}{low} to {high}"


def _default(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, tuple):
        return " ".join(f"`{item!r}`" if item not in TRUNCATING else f"`{item}`" for item in value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _presets() -> Iterator[str]:
    yield "| preset | for | values |"
    yield "| --- | --- | --- |"
    for name, (purpose, fields) in BUILT_IN.items():
        values = ", ".join(f"{key} {value}" for key, value in fields.model_dump(exclude_none=True).items())
        yield f"| `{name}` | {purpose} | {values} |"


def _rules() -> Iterator[str]:
    for need in NEEDS:
        yield f"- `{need.name}` without {' or '.join(f'`{name}`' for name in need.switches)}"
    for clash in CLASHES:
        yield f"- `{clash.first}` and `{clash.second}`: {clash.reason}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
