"""What there is to say of chat templates without compiling one."""

# What a model without a template of its own gets: the format most chat models were tuned on.
CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

# Variables that every template gets; a request cannot set them.
GIVEN = frozenset({"messages", "tools", "documents", "add_generation_prompt", "bos_token", "eos_token"})


class TemplateSyntaxError(Exception):
    """The template does not compile; it never will, so the server should not start with it."""
