"""Labels of the caller's own on what is stored."""

from typing import Annotated

from annotated_types import MaxLen
from pydantic import Field, StringConstraints

from caravan_schemas.base import Schema

MAX_METADATA = 16
MetadataKey = Annotated[str, StringConstraints(max_length=64)]
MetadataValue = Annotated[str, StringConstraints(max_length=512)]
Metadata = Annotated[dict[MetadataKey, MetadataValue] | None, MaxLen(MAX_METADATA)]


class MetadataRequest(Schema):
    """Body of `POST /v1/chat/completions/{completion_id}` and `POST /v1/conversations/{conversation_id}`."""

    metadata: Metadata = Field(description="The metadata from now on, in the place of all that there was.")
