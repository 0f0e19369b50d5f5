"""Formats that no mark in a template gives away, learnt from the call that it shows."""

import pytest
from caravan.chat.families import recognise, with_shown_calls
from caravan.chat.rendering.call_text import CallText
from caravan.chat.rendering.local import LocalTemplate

# The marks are put together, so that nobody finds them by looking.
SHOWING = """{% for tool in tools or [] %}{{ tool | tojson }}{% endfor %}{% for m in messages %}
{{ '<' ~ m.role ~ '>' ~ (m.content or '') }}
{% for call in m.tool_calls or [] %}
CALL
{% endfor %}
{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"""
_JSON = '{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}'
CALLS = {
    "hermes": "{{ '<tool' ~ '_call>' }}" + _JSON,
    "nemotron": "{{ '<TOOL' ~ 'CALL>' }}[" + _JSON + "]",
    "functionary_v31": "{{ '<func' ~ 'tion=' ~ call.function.name }}>{{ call.function.arguments | tojson }}",
}


def learnt(source: str) -> tuple[str, bool]:
    """What is known of the calls of a template's model, and whether it is a guess."""
    family = recognise(source)
    assert family.is_guess
    template = LocalTemplate(source, bos_token="", eos_token="", call_text=CallText())
    try:
        family = with_shown_calls(family, template)
    finally:
        template.close()
    return family.tools.name, family.is_guess


@pytest.mark.parametrize("form", CALLS)
def test_a_call_that_is_shown_tells_the_format(form: str) -> None:
    assert learnt(SHOWING.replace("CALL", CALLS[form])) == (form, False)


@pytest.mark.parametrize("call", ["Use {{ call.function.name }}: {{ call.function.arguments | tojson }}", ""])
def test_what_nothing_reads_stays_a_guess(call: str) -> None:
    assert learnt(SHOWING.replace("CALL", call)) == ("json", True)
