"""One conversation being summed up by the model that goes on with it."""

import time
from collections.abc import Sequence
from functools import partial

from caravan_schemas.responses import CompactRequest, ResponseRequest
from caravan_schemas.responses_answers import CompactedResponse
from caravan_schemas.responses_input import ReasoningOptions
from caravan_schemas.responses_items import AdditionalTools, Compaction, InputMessage

from caravan.api.chat import ChatService
from caravan.api.context import RequestContext
from caravan.api.output.encoding import to_event
from caravan.api.prepared import Prepared
from caravan.api.prompt.tokenize import plain_ids
from caravan.api.responses.compaction import sealed
from caravan.api.responses.content import text_of
from caravan.api.responses.conversation import Placed
from caravan.api.responses.inputs import row_of_input, rows_of
from caravan.api.responses.snapshot import new_id, usage
from caravan.api.responses.to_chat import translate
from caravan.api.responses.truncation import fitting, tell_truncated
from caravan.api.run import Run
from caravan.api.validation.rewording import rewording
from caravan.errors import ContextLengthError, InvalidRequestError
from caravan.models import ModelRegistry
from caravan.models.loaded_model import LoadedModel
from caravan.runtime.threads import in_busy_thread

# Parts of the context: the longest summary, and the most of what the user has said beside it.
_SUMMARY_PART = 4
_USER_PART = 2
_MAX_TOKENS = 4096
_PROMPT = (
    "Sum up our conversation so far for a colleague who goes on with it, and who sees nothing of it but your"
    " summary and some of my messages. Say what I want, what has been done and found out, what was decided"
    " and why, and what is left to do. Keep names, paths, numbers and commands as they are. Write the summary"
    " alone."
)


class CompactionRun(Run):
    """The run of one summary, over the items of a conversation."""

    def __init__(
        self,
        registry: ModelRegistry,
        chat: ChatService,
        request: CompactRequest,
        items: Sequence[Placed],
        context: RequestContext,
    ) -> None:
        super().__init__(registry, request.model, self._prepare_chat, context)
        self._chat = chat
        self._request = request
        self._items = items
        self._said: Sequence[Placed] = ()
        self._id = new_id("resp")

    async def whole(self) -> bytes:
        """Write the JSON of what is left: the user's newest messages, and the summary."""
        await self.start()
        prepared = await self.prepare()
        text = "".join([output.text async for output in self])
        summary = (prepared.format.parse(text).content or "").strip()
        if not summary:
            message = "The model wrote no summary of this conversation."
            raise InvalidRequestError(message, param="input", code="no_summary")
        content = sealed(summary, self.context.principal.id)
        said = await in_busy_thread(rows_of, [placed.item for placed in self._said])
        item = row_of_input(Compaction(type="compaction", encrypted_content=content))
        return to_event(
            CompactedResponse(
                id=self._id,
                object="response.compaction",
                created_at=int(time.time()),
                output=[*said, item],
                usage=usage(self.usage()),
            )
        )

    async def _prepare_chat(self, model: LoadedModel) -> Prepared:
        self._said = await in_busy_thread(_newest, self._items, model)
        asked = ResponseRequest(
            model=self._request.model,
            input=_PROMPT,
            instructions=self._request.instructions,
            max_output_tokens=min(_MAX_TOKENS, max(1, model.context_size // _SUMMARY_PART)),
            min_tokens=1,
            temperature=0,
            priority=self._request.priority,
            reasoning=ReasoningOptions(effort="none"),
        )
        # Nothing is to be called for a summary.
        kept = [placed for placed in self._items if not isinstance(placed.item, AdditionalTools)]
        items = [*kept, Placed("input", InputMessage(role="user", content=_PROMPT))]
        work = partial(translate, asked, owner=self.context.principal.id)
        translation, seen = await fitting(items, work, self._chat, self.context, model)
        left = {id(placed) for placed in (*seen, *self._said)}
        tell_truncated(self.context, sum(id(placed) not in left for placed in items))
        with rewording(translation.named):
            return await self._chat.prepare(translation.chat, self._id, self.context, model)


def _newest(items: Sequence[Placed], model: LoadedModel) -> list[Placed]:
    """Return what the user has said, without the oldest where that is too much."""
    left = model.context_size // _USER_PART
    found: list[Placed] = []
    for placed in reversed(items):
        if isinstance(placed.item, InputMessage) and placed.item.role == "user":
            try:
                left -= len(plain_ids(model, text_of(placed.item.content), param=placed.path))
            except ContextLengthError:
                break
            if left < 0:
                break
            found.append(placed)
    return found[::-1]
