"""An input and its questions into prompts: the input first, so that all of them begin with it."""

from collections.abc import Iterable, Iterator, Sequence

from caravan_schemas.chat import ChatCompletionRequest
from caravan_schemas.decisions import DecisionMessage, DecisionRequest, InputJson
from caravan_schemas.messages import Message, UserMessage
from caravan_schemas.responses_items import InputMessage, Item, PastRefusal

from caravan.api.decisions.label_tokens import Labelled, labelled
from caravan.api.decisions.questions import Asked, json_text
from caravan.api.prompt.chat_prompt import past_thought, rendered
from caravan.api.prompt.tokenize import check_length, tokenized
from caravan.api.responses.conversation import Placed, conversation
from caravan.api.responses.to_chat import Translation
from caravan.api.validation.rewording import rewording
from caravan.auth.principal import Principal
from caravan.errors import InvalidValueError
from caravan.models.loaded_model import LoadedModel

# Of all prompts together, each with its own copy of the input: some seconds of a tokenizer.
_MAX_TOKENS = 16_777_216


class PromptWriter:
    """Writes the prompts of one request for one model; call it in a thread."""

    def __init__(self, request: DecisionRequest, model: LoadedModel, principal: Principal) -> None:
        self._model = model
        self._principal = principal
        self.messages, self._places = conversation(None, list(_items(request)), principal.id)

    def write(self, asked: Asked, param: str, *, has_input: bool = True) -> Labelled:
        """Write a question, whose path is `param`, about the input or about none; raises InvalidRequestError.

        The question is the end of the last message of the user's, or one of its own.
        """
        messages = _with_question(self.messages if has_input else [], asked.text)
        with rewording(Translation(chat_of(messages), self._places, param).named):
            return written(
                messages, asked.labels, self._model, self._principal, param=param, input_param="input"
            )


def chat_of(messages: Sequence[Message]) -> ChatCompletionRequest:
    """Write a conversation as a chat whose answer needs no thought."""
    # Every value has been validated as a part of the request.
    return ChatCompletionRequest.model_construct(messages=list(messages), reasoning_effort="none")


def written(
    messages: Sequence[Message],
    labels: Sequence[str],
    model: LoadedModel,
    principal: Principal,
    *,
    param: str,
    input_param: str,
) -> Labelled:
    """Write the prompt of a conversation that is answered with one of the labels, which errors call `param`.

    Raises InvalidRequestError; a conversation that is too long is called `input_param`.
    """
    chat = chat_of(messages)
    text, _ = rendered(chat, model, principal, has_to_fit=True)
    text = past_thought(chat, model, text)
    token_ids = tokenized(model, text, param=input_param)
    found = labelled(model, text, token_ids, labels, param=param)
    check_length(model, (*found.token_ids, *max(found.labels, key=len)), param=input_param)
    return found


def all_of(prompts: Iterable[Labelled], param: str) -> list[Labelled]:
    """Collect prompts as they are written; raises InvalidRequestError where there are too many tokens."""
    collected, num_tokens = [], 0
    for prompt in prompts:
        collected.append(prompt)
        num_tokens += len(prompt.token_ids)
        if num_tokens > _MAX_TOKENS:
            message = f"must be fewer: with what they are about, they have over {_MAX_TOKENS} tokens"
            raise InvalidValueError(param, message)
    return collected


def _with_question(messages: Sequence[Message], text: str) -> list[Message]:
    last = messages[-1] if messages else None
    # Many templates take turns of user and assistant only.
    if isinstance(last, UserMessage) and isinstance(last.content, str):
        content = f"{last.content}\n\n{text}" if last.content else text
        return [*messages[:-1], UserMessage(role="user", content=content)]
    return [*messages, UserMessage(role="user", content=text)]


def _items(request: DecisionRequest) -> Iterator[Placed]:
    if isinstance(request.input, str):
        yield Placed("input", InputMessage(type="message", role="user", content=request.input))
        return
    for index, item in enumerate(request.input):
        path = f"input[{index}]"
        yield Placed(path, _message(item, path) if isinstance(item, DecisionMessage) else item)


def _message(item: DecisionMessage, path: str) -> Item:
    content = item.content
    if not isinstance(content, str):
        texts = []
        for index, part in enumerate(content):
            if isinstance(part, InputJson):
                texts.append(json_text(part, f"{path}.content[{index}]"))
            else:
                texts.append(part.refusal if isinstance(part, PastRefusal) else part.text)
        content = "\n".join(texts)
    return InputMessage(type="message", role=item.role, content=content)
