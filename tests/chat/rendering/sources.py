"""Small templates, each with one habit of published ones."""

# Knows its roles, and shows calls and tools.
WHOLE = """\
{%- if tools %}{% for tool in tools %}{{ tool | tojson }}{% endfor %}{% endif %}
{%- for m in messages %}
{%- if m.role not in ['system', 'user', 'assistant', 'tool'] %}{{ raise_exception('No role') }}{% endif %}
{{- '<' + m.role + '>' }}{% if m.content is not none %}{{ m.content }}{% endif %}
{%- for call in m.tool_calls or [] %}{{ '[' + call.function.name + ' ' }}\
{{ call.function.arguments | tojson }}]{% endfor %}
{%- endfor %}
{%- if add_generation_prompt %}<assistant>{% endif %}"""

# Shows a first system message alone; content has to be text; calls are not shown.
FIRST_SYSTEM = """\
{%- if messages[0].role == 'system' %}{{ 'S:' + messages[0].content }}{% endif %}
{%- for m in messages %}
{%- if m.role in ['user', 'assistant', 'tool'] %}{{ m.role[0] + ':' + m.content + ';' }}{% endif %}
{%- endfor %}"""

# Wants user and assistant to alternate, and no system message.
STRICT = """\
{%- if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}
{%- for m in messages %}
{%- if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Roles must alternate') }}{% endif %}
{{- '<' + m.role + '>' + m.content }}
{%- endfor %}"""

# Wants ids of nine characters, arguments as text, and one call at a time.
PEDANT = """\
{%- if tools %}{{ tools | tojson }}{% endif %}
{%- for m in messages %}{{ m.role + ':' + (m.content or '') }}
{%- if m.tool_calls is defined %}
{%- if m.tool_calls | length != 1 %}{{ raise_exception('One call at a time') }}{% endif %}
{%- if m.tool_calls[0].id | length != 9 %}{{ raise_exception('Nine') }}{% endif %}
{{- '[' + m.tool_calls[0].function.arguments + ']' }}
{%- endif %}{% endfor %}"""
