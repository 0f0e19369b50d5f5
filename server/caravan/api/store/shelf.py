"""One kind of what is stored, as its owners ask for it: errors in the words of the wire, lists as JSON."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from caravan.api.store.async_store import AsyncStore
from caravan.api.store.errors import MissingError, MissingItemError, NotStoredError, StorageBusyError
from caravan.api.store.records import Kind, Order, Page, Record, Row
from caravan.api.store.store import Store
from caravan.auth.principal import Principal
from caravan.errors import InvalidRequestError

T = TypeVar("T")

PAGE = 20
_NAMES: dict[Kind, str] = {"response": "Response", "chat": "Chat completion", "conversation": "Conversation"}


@dataclass(frozen=True)
class Shelf:
    """Callers find what is of this kind and their own key's alone.

    Work for the store holds plain values and nothing else, as the store may be in another process.
    """

    archive: AsyncStore
    kind: Kind

    async def find(self, name: str, principal: Principal, work: Callable[[Store, str], T]) -> T:
        """Return what `work` does with the store for an owner; raises NotStoredError."""
        owner = principal.id
        try:
            return await self.archive.do(lambda store: work(store, owner), owner)
        except MissingError as error:
            if self.archive.outcomes.find(owner, name) is not None:
                raise StorageBusyError(f"'{name}' is not stored yet.") from error
            kind = _NAMES[self.kind]
            code = f"{kind.lower().replace(' ', '_')}_not_found"
            raise NotStoredError(f"{kind} with id '{name}' not found.", code=code) from error
        except MissingItemError as error:
            raise NotStoredError(f"Item with id '{error}' not found.", code="item_not_found") from error

    def record(
        self,
        name: str,
        owner: str,
        body: bytes,
        metadata: Mapping[str, str] | None,
        items: Sequence[Row],
        model: str | None = None,
    ) -> Record:
        """Make something new, which is not stored yet; `body` is its JSON."""
        return Record(
            id=name,
            owner=owner,
            kind=self.kind,
            body=body.decode(),
            metadata=metadata or {},
            model=model,
            items=items,
        )

    async def text(self, name: str, principal: Principal) -> bytes:
        """Return something as JSON."""
        kind = self.kind
        return (await self.find(name, principal, lambda s, o: s.records.text(o, kind, name))).encode()

    async def label(self, name: str, metadata: Mapping[str, str] | None, principal: Principal) -> bytes:
        """Give something other metadata, and return it as JSON."""
        kind, given = self.kind, metadata or {}
        changed = await self.find(name, principal, lambda s, o: s.records.label(o, kind, name, given))
        return changed.encode()

    async def delete(self, name: str, principal: Principal) -> None:
        """Forget something with its items."""
        kind = self.kind
        await self.find(name, principal, lambda s, o: s.delete(o, name, kind))

    async def items(
        self, name: str, after: str | None, limit: int | None, order: Order, principal: Principal
    ) -> bytes:
        """Return a page of the items of something as JSON: those after the one of an id."""
        kind = self.kind
        try:
            page = await self.find(
                name,
                principal,
                lambda s, o: s.records.items(o, kind, name, after, limit or PAGE, order),
            )
        except NotStoredError as error:
            if error.code != "item_not_found":
                raise
            raise InvalidRequestError(error.message, param="after", code=error.code) from error
        return list_of(page)


def list_of(page: Page) -> bytes:
    """Write a page as JSON."""
    first, last = (page.ids[0], page.ids[-1]) if page.ids else (None, None)
    rest = msgspec.json.encode({"first_id": first, "last_id": last, "has_more": page.has_more})
    return b'{"object":"list","data":[%b],%b' % (",".join(page.texts).encode(), rest[1:])
