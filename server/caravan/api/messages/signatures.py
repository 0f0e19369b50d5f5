"""What stands for a thought: a digest or, where its text is not shown, the thought itself.

So a client that shows no thoughts, and sends back what it got, has the model see them again: it goes on with
what it thought, and with what is in memory of it.
"""

import hashlib
from base64 import b64decode, b64encode

from caravan_schemas.anthropic_blocks import ThoughtBlock

_HELD = "thought."


def signature(thought: str, *, is_shown: bool) -> str:
    """Write the signature of a thought."""
    data = thought.encode("utf-8", "replace")
    return hashlib.sha256(data).hexdigest() if is_shown else _HELD + b64encode(data).decode()


def thought_of(block: ThoughtBlock) -> str:
    """Read a thought that is sent back. Of one that another server has hidden there is nothing."""
    if block.thinking or block.signature is None or not block.signature.startswith(_HELD):
        return block.thinking
    try:
        return b64decode(block.signature.removeprefix(_HELD), validate=True).decode("utf-8", "replace")
    except ValueError:
        # binascii.Error is one; letters beyond ASCII are another.
        return ""
