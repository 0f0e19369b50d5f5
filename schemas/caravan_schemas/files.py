"""Files that are uploaded, as OpenAI has them."""

from typing import Annotated, Literal

from pydantic import Field, WithJsonSchema

from caravan_schemas.base import Schema
from caravan_schemas.queries import PageQuery

MAX_FILES_PAGE = 10_000
SHORTEST_SECONDS, LONGEST_SECONDS = 3600, 2_592_000

Purpose = Literal["assistants", "batch", "fine-tune", "vision", "user_data", "evals"]


class ExpiresAfter(Schema):
    """How long a file is kept."""

    anchor: Literal["created_at"] = Field(description="From when on: since the file was made.")
    seconds: int = Field(
        ge=SHORTEST_SECONDS,
        le=LONGEST_SECONDS,
        description="After so many seconds the file is deleted, from an hour (3600) to 30 days (2592000).",
    )


class FileForm(Schema):
    """Body of `POST /v1/files`, a form of `multipart/form-data`."""

    # Of a file that has been read bit by bit, its name.
    file: Annotated[str, WithJsonSchema({"type": "string", "format": "binary"})] = Field(
        description="The file, with its name."
    )
    purpose: Purpose = Field(
        description="What the file is for. Only `batch` is served: nothing else here reads files."
    )
    expires_after: ExpiresAfter | None = Field(
        default=None, description="When the file is deleted. 30 days after its upload by default."
    )


class FilesQuery(PageQuery):
    """Of `GET /v1/files`."""

    limit: int | None = Field(
        default=None, ge=1, le=MAX_FILES_PAGE, description="The most files of the page. Default 10,000."
    )
    order: Literal["asc", "desc"] | None = Field(
        default=None, description="`desc` (the default) has the newest first, `asc` the oldest."
    )
    purpose: str | None = Field(
        default=None,
        description="Only files of this purpose: `batch` for those that were uploaded, `batch_output` for "
        "what batches have written.",
    )


class FileObject(Schema):
    """A file that is kept."""

    id: str
    object: Literal["file"]
    bytes: int
    created_at: int
    expires_at: int
    filename: str
    purpose: Literal["batch", "batch_output"]
    status: Literal["processed"]
    status_details: None


class DeletedFile(Schema):
    """The answer to the deletion of a file."""

    id: str
    object: Literal["file"]
    deleted: Literal[True]
