"""What fields mean that many shapes have, said once; the OpenAPI document tells it of each of them.

A field with a description of its own keeps it. `words.py` has one meaning for a name, `senses.py` has those
of single shapes, where a protocol gives the name another one.
"""

from caravan_schemas.glossary.senses import SENSES
from caravan_schemas.glossary.words import WORDS


def meaning_of(shape: type, field: str) -> str | None:
    """Find what a field means, by its name on the wire: in this shape, in one of its bases, or anywhere."""
    for part in shape.__mro__:
        if (sense := SENSES.get(part.__name__, {}).get(field)) is not None:
            return sense
    return WORDS.get(field)
