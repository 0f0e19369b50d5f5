"""Lists in the heads of answers, which clients have written parts of."""

from collections.abc import Collection
from urllib.parse import quote

# A head is bounded at many places between a server and its client.
_MAX_LISTED = 1_000
_MAX_ITEM = 200
# What paths and JSON pointers are written with; commas separate the items.
_PLAIN = "/~#[]$._-:"


def listed(items: Collection[str]) -> str:
    """The items as a header's value: in ASCII, separated by commas, and in the end how many are left out."""
    shown: list[str] = []
    num_characters = 0
    for item in items:
        # A field may have no name at all, and a value of a header may not end with white space.
        written = quote(item[:_MAX_ITEM], safe=_PLAIN, errors="replace")[:_MAX_ITEM] or '""'
        num_characters += len(written) + 2
        if num_characters > _MAX_LISTED:
            return ", ".join([*shown, f"and {len(items) - len(shown)} more"])
        shown.append(written)
    return ", ".join(shown)
