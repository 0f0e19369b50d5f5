"""What a request is an answer to, read: its items, those before it, and the chat that they make."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from caravan_schemas.responses_input import ConversationInput
from caravan_schemas.responses_items import Item

from caravan.api.chat import ChatService
from caravan.api.context import RequestContext
from caravan.api.responses.conversation import Placed
from caravan.api.responses.inputs import check_new, earlier_rows, own_items, placed, rows_of
from caravan.api.responses.to_chat import Translation, check, translate, without_effect
from caravan.api.responses.truncation import fitting, tell_truncated
from caravan.api.store import AsyncStore, Row
from caravan.errors import InvalidRequestError
from caravan.models import ModelRegistry
from caravan.models.loaded_model import LoadedModel
from caravan.runtime.threads import in_busy_thread, in_thread

T = TypeVar("T")

# Items that are read in a few milliseconds.
_FEW = 256


@dataclass(frozen=True)
class Reading:
    """`own` are the items of the request, `items` those before it, too; `translation` is of all of them."""

    own: Sequence[Item]
    items: Sequence[Placed]
    translation: Translation

    async def rows(self) -> list[Row]:
        """Make of its items what is stored."""
        return await _run(len(self.own), partial(rows_of, self.own))

    async def for_model(
        self, request: ConversationInput, chat: ChatService, context: RequestContext, model: LoadedModel
    ) -> Translation:
        """Translate anew where it matters what the model is like; tells the client of what is left out."""
        ignored = without_effect(request, model.template_for(has_tools=bool(self.translation.chat.tools)))
        context.metrics.ignore(ignored)
        work = partial(translate, request, owner=context.principal.id, ignored=ignored)
        if request.truncation == "auto":
            translation, left = await fitting(self.items, work, chat, context, model)
            tell_truncated(context, len(self.items) - len(left))
            return translation
        return await in_busy_thread(work, self.items) if ignored else self.translation


async def read(
    request: ConversationInput,
    context: RequestContext,
    registry: ModelRegistry,
    archive: AsyncStore,
) -> Reading:
    """Read a request and its history; refuse what can be refused without the model."""
    check(request)
    owner = context.principal.id
    if request.input is None and request.previous_response_id is None and request.conversation is None:
        message = "'input' is required where there is no 'previous_response_id' and no 'conversation'."
        raise InvalidRequestError(message, param="input", code="missing_required_parameter")
    history = await earlier_rows(archive, context.principal, request)
    own = await own_items(archive, owner, request.input)
    registry.find(request.model, context.principal)
    context.metrics.requested_model = request.model

    def work() -> Reading:
        if request.conversation is not None:
            check_new(history, own)
        items = placed(history, request, own)
        return Reading(own, items, translate(request, items, owner))

    return await _run(len(history) + len(own), work)


async def _run(num_items: int, work: Callable[[], T]) -> T:
    """Do what takes time that grows with so many items."""
    return await (in_thread if num_items <= _FEW else in_busy_thread)(work)
