"""The system prompt without what changes from request to request, so that its prefix is computed once.

A prompt is matched with what is in memory from its beginning, and a line that changes there would cost all
that follows.
"""

import re
from dataclasses import dataclass, field

from caravan_schemas.anthropic_blocks import TextContent

# What `x-caravan-ignored` calls the line.
BILLING = "system[].x-anthropic-billing-header"
# Blocks of text are paragraphs.
PARAGRAPH = "\n\n"

# Claude Code writes it at the beginning of the first block, with a hash that is new each time. It is for
# Anthropic's accounts, and their models do not see it either.
_BILLING = re.compile(r"x-anthropic-billing-header:[^\n]*\n*")
_NAMES = "date and time|date/time|datetime|date|time"
_DATED = re.compile(
    rf"[ \t]*(?:[-*] )?(?:(?:the )?(?:current|today's|local|system)(?: local)? (?:{_NAMES})"
    r"|today|now|date|time)(?: is|:)[^\n]{1,80}",
    re.IGNORECASE,
)
_DAY = re.compile(r"(?<!\d)(?:19|20)\d\d(?!\d)")
_CLOCK = re.compile(r"(?<!\d)\d{1,2}:\d\d")


@dataclass
class SystemPrompt:
    """`text` stays the same through a conversation. `days` are lines that tell a date, `clocks` those that
    tell the time of day.
    """

    text: str = ""
    days: list[str] = field(default_factory=list)
    clocks: list[str] = field(default_factory=list)
    has_billing: bool = False


def system_prompt(content: TextContent | None) -> SystemPrompt:
    """Read the system prompt of a request."""
    found = SystemPrompt()
    blocks = [content] if isinstance(content, str) else [block.text for block in content or ()]
    texts = []
    for block in blocks:
        billing = _BILLING.match(block)
        found.has_billing |= billing is not None
        texts.append(_stable(block if billing is None else block[billing.end() :], found))
    found.text = PARAGRAPH.join(filter(None, texts))
    return found


def _stable(block: str, found: SystemPrompt) -> str:
    """Take the lines that tell when it is out of a block."""
    kept = []
    for line in block.split("\n"):
        if len(line) > 200 or _DATED.fullmatch(line) is None:
            kept.append(line)
        elif _CLOCK.search(line):
            found.clocks.append(line.strip())
        elif _DAY.search(line):
            found.days.append(line.strip())
        else:
            kept.append(line)
    return "\n".join(kept)
