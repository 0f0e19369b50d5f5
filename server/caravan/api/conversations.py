"""Conversations: stored items, which clients add to, and which responses answer and go on with."""

import json
import time
from collections.abc import Sequence

import msgspec
from caravan_schemas.conversations import ConversationRequest, DeletedConversation
from caravan_schemas.queries import ItemsQuery
from caravan_schemas.responses_items import Item

from caravan.api.responses.inputs import TOO_LONG, check_item_id, duplicate, own_items, row_of_input
from caravan.api.responses.snapshot import new_id
from caravan.api.store import AsyncStore, KnownItemError, LongHistoryError, Page, Row
from caravan.api.store.shelf import Shelf, list_of
from caravan.auth.principal import Principal
from caravan.errors import InvalidRequestError
from caravan.runtime.threads import in_thread


class ConversationService:
    """Serves `/v1/conversations`. Callers see their own key's conversations alone."""

    def __init__(self, archive: AsyncStore) -> None:
        self._archive = archive
        self._shelf = Shelf(archive, "conversation")

    async def create(self, request: ConversationRequest, principal: Principal) -> bytes:
        """Begin a conversation, with items or without any."""
        items = await self._rows(request.items or [], principal)
        name = new_id("conv")
        body = msgspec.json.encode({"id": name, "object": "conversation", "created_at": int(time.time())})
        record = self._shelf.record(name, principal.id, body, request.metadata, items)
        await self._archive.do(record.keep, principal.id)
        return await self.retrieve(name, principal)

    async def retrieve(self, name: str, principal: Principal) -> bytes:
        """Return a conversation without its items."""
        return await self._shelf.text(name, principal)

    async def update(self, name: str, metadata: dict[str, str] | None, principal: Principal) -> bytes:
        """Give a conversation other metadata, and return it."""
        return await self._shelf.label(name, metadata, principal)

    async def delete(self, name: str, principal: Principal) -> DeletedConversation:
        """Forget a conversation with its items. Responses that were made in it stay."""
        await self._shelf.delete(name, principal)
        return DeletedConversation(id=name, object="conversation.deleted", deleted=True)

    async def add(self, name: str, items: Sequence[Item], principal: Principal) -> bytes:
        """Add all of these items to the end of a conversation, or none; returns them as a list."""
        rows = await self._rows(items, principal)
        try:
            await self._shelf.find(name, principal, lambda s, o: s.records.append(o, name, rows))
        except KnownItemError as error:
            raise duplicate(str(error), "items") from error
        except LongHistoryError as error:
            message = f"The conversation would have {error}."
            raise InvalidRequestError(message, param="items", code=TOO_LONG) from error
        return list_of(Page([row["id"] for row in rows], list(map(json.dumps, rows)), has_more=False))

    async def items(self, name: str, query: ItemsQuery, principal: Principal) -> bytes:
        """Return a page of the items."""
        return await self._shelf.items(name, query.after, query.limit, query.order or "desc", principal)

    async def item(self, name: str, item_id: str, principal: Principal) -> bytes:
        """Return one item."""
        found = await self._shelf.find(name, principal, lambda s, o: s.records.item(o, name, item_id))
        return found.encode()

    async def delete_item(self, name: str, item_id: str, principal: Principal) -> bytes:
        """Take one item out, and return the conversation."""
        found = await self._shelf.find(name, principal, lambda s, o: s.delete_item(o, name, item_id))
        return found.encode()

    async def _rows(self, items: Sequence[Item], principal: Principal) -> list[Row]:
        """Read the items of a request as they are stored."""
        own = await own_items(self._archive, principal.id, list(items), "items")
        rows = await in_thread(lambda: [row_of_input(item) for item in own])
        ids: set[str] = set()
        for index, row in enumerate(rows):
            check_item_id(row["id"], f"items[{index}].id")
            if row["id"] in ids:
                raise duplicate(row["id"], "items")
            ids.add(row["id"])
        return rows
