"""Compaction items: what a model summed up of a conversation, as a text that only its own key can use again.

Nothing of it is kept here. The text is no secret from whoever holds it; its digest keeps one user's summary
out of another's conversation, where a client mixes them up, and shows damage.
"""

import base64
from hashlib import blake2b

from caravan.errors import InvalidValueError

_PREFIX = "caravan1"


def sealed(summary: str, owner: str) -> str:
    """Write a summary as the `encrypted_content` of an item."""
    data = summary.encode("utf-8", "replace")
    return ".".join((_PREFIX, _digest(data, owner), base64.urlsafe_b64encode(data).decode()))


def summary_in(content: str, owner: str, param: str) -> str:
    """Read a summary again. Raises InvalidValueError over one that was not made here for this owner."""
    prefix, _, rest = content.partition(".")
    digest, _, text = rest.partition(".")
    try:
        data = base64.urlsafe_b64decode(text)
        summary = data.decode()
    except ValueError as error:
        raise InvalidValueError(param, "is not of this server's making") from error
    if prefix != _PREFIX or digest != _digest(data, owner):
        raise InvalidValueError(param, "was not made by this server for this key")
    return summary


def _digest(data: bytes, owner: str) -> str:
    return blake2b(
        data, digest_size=16, person=b"compaction", key=blake2b(owner.encode()).digest()
    ).hexdigest()
