"""Chat completions that are stored: made, listed, labelled, deleted, and the messages that they answer."""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from caravan_schemas.chat import ChatCompletionRequest, DeletedChat
from caravan_schemas.messages import Message
from caravan_schemas.queries import ChatsQuery, MessagesQuery

from caravan.api.completion_run import CompletionRun
from caravan.api.store import AsyncStore, Page, Record, Row, Store
from caravan.api.store.records import MAX_HISTORY_BYTES, MAX_PAGE_BYTES, Found
from caravan.api.store.shelf import PAGE, Shelf, list_of
from caravan.auth.principal import Principal
from caravan.errors import InvalidRequestError
from caravan.runtime.threads import in_busy_thread

log = logging.getLogger(__name__)

_ID = re.compile(r"chatcmpl-[0-9a-f]{32}")
_SHOWN = 80


class StoredChatService:
    """Serves `/v1/chat/completions` and what is below it. Callers see their own key's chats alone."""

    def __init__(self, archive: AsyncStore) -> None:
        self._archive = archive
        self._shelf = Shelf(archive, "chat")

    def keep(self, run: CompletionRun, request: ChatCompletionRequest) -> None:
        """Have the run of a request stored at its end."""
        run.keeper = ChatKeeper(self._shelf, request, run.context.principal.id)

    async def list(self, query: ChatsQuery, principal: Principal) -> bytes:
        """Return a page of the chats that the query asks for."""
        # One that is deleted by now is a place all the same.
        if query.after is not None and not _ID.fullmatch(query.after):
            message = f"Chat completion with id '{query.after[:_SHOWN]}' not found."
            raise InvalidRequestError(message, param="after", code="chat_completion_not_found")
        limit = query.limit or PAGE
        ids: list[str] = []
        texts: list[str] = []
        last = query.after
        while True:
            search = partial(self._found, query, last, limit + 1 - len(ids), principal.id)
            found = await self._archive.do(search, principal.id)
            ids += found.ids
            texts += found.texts
            last = found.last
            if last is None or len(ids) > limit or sum(map(len, texts)) > MAX_PAGE_BYTES:
                break
        has_more = last is not None or len(ids) > limit
        return list_of(Page(ids[:limit], texts[:limit], has_more))

    async def retrieve(self, name: str, principal: Principal) -> bytes:
        """Return a chat as it was answered, with its metadata."""
        return await self._shelf.text(name, principal)

    async def update(self, name: str, metadata: dict[str, str] | None, principal: Principal) -> bytes:
        """Give a chat other metadata, and return it."""
        return await self._shelf.label(name, metadata, principal)

    async def delete(self, name: str, principal: Principal) -> DeletedChat:
        """Forget a chat and its messages."""
        await self._shelf.delete(name, principal)
        return DeletedChat(id=name, object="chat.completion.deleted", deleted=True)

    async def messages(self, name: str, query: MessagesQuery, principal: Principal) -> bytes:
        """Return a page of the messages that a chat answers."""
        return await self._shelf.items(name, query.after, query.limit, query.order or "asc", principal)

    @staticmethod
    def _found(query: ChatsQuery, last: str | None, limit: int, owner: str, store: Store) -> Found:
        return store.records.chats(
            owner, last, query.order or "asc", query.model, query.metadata or {}, limit
        )


@dataclass(frozen=True)
class ChatKeeper:
    """Stores one chat when it is complete."""

    shelf: Shelf
    request: ChatCompletionRequest
    owner: str

    async def check(self) -> None:
        """Raise StorageError where nothing can be stored now."""
        await self.shelf.archive.do(Store.check, self.owner)

    async def keep(self, name: str, document: Sequence[bytes]) -> None:
        """Store an answer, now or as soon as the store takes it."""
        if sum(map(len, document)) > MAX_HISTORY_BYTES:
            log.warning("%s is not stored: it has more than %d bytes", name, MAX_HISTORY_BYTES)
            return
        await self.shelf.archive.outcomes.keep(await in_busy_thread(self._record, name, document))

    def _record(self, name: str, document: Sequence[bytes]) -> Record:
        messages = [
            _stored(message, f"{name}-{index}") for index, message in enumerate(self.request.messages)
        ]
        body = b"".join(document)
        return self.shelf.record(
            name, self.owner, body, self.request.metadata, messages, model=self.request.model
        )


def _stored(message: Message, name: str) -> Row:
    """Write a message as OpenAI lists it: its text, and its parts if it came in parts."""
    row: Row = {"id": name, "role": message.role, "content": None, "refusal": None, "content_parts": None}
    row |= message.model_dump(mode="json", exclude_none=True, exclude={"parsed"})
    if isinstance(row["content"], list):
        row["content_parts"] = row["content"]
        row["content"] = "".join(part.get("text", "") for part in row["content_parts"])
    return row
