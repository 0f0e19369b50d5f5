"""What schemathesis loads before it makes requests."""

import schemathesis

from tests.clients.programs import MODEL


@schemathesis.hook
def map_body(_context: object, body: object) -> object:
    """Ask for the model that is there; requests for others do not get far."""
    return {**body, "model": MODEL} if isinstance(body, dict) else body
