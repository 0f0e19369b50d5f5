"""Speech into text: a chat whose message is the sound and what to do with it."""

import base64
import uuid

from caravan_schemas.chat import ChatCompletionRequest
from caravan_schemas.media import AudioPart, InputAudio
from caravan_schemas.messages import TextPart, UserMessage
from caravan_schemas.transcriptions import (
    Transcription,
    TranscriptionForm,
    TranscriptionTokens,
    TranscriptionUsage,
)

from caravan.api.chat import ChatService
from caravan.api.context import RequestContext
from caravan.api.output.encoding import to_json
from caravan.api.prepared import Prepared
from caravan.api.run import Run
from caravan.api.validation.rewording import rewording
from caravan.errors import InvalidValueError, UnsupportedParameterError
from caravan.models import ModelRegistry
from caravan.models.loaded_model import LoadedModel
from caravan.runtime.threads import in_thread

_TASK = "Write down what is said in this recording, word for word, and nothing else."
_TIMES = ("srt", "verbose_json", "vtt", "diarized_json")


class Recording:
    """The file of a form as it comes, of at most `max_bytes` bytes."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._data = bytearray()

    async def write(self, data: bytes) -> None:
        """Take more of it. Raises InvalidValueError."""
        self._data += data
        if len(self._data) > self._max_bytes:
            raise InvalidValueError("file", f"has more than {self._max_bytes} bytes")

    def written(self) -> str:
        """Write it in Base64."""
        return base64.b64encode(self._data).decode()


class TranscriptionService:
    """Serves `POST /v1/audio/transcriptions` for all models of a registry."""

    def __init__(self, registry: ModelRegistry, chat: ChatService, max_bytes: int) -> None:
        self._registry = registry
        self._chat = chat
        self._max_bytes = max_bytes

    def recording(self) -> Recording:
        """Make the place for one file."""
        return Recording(self._max_bytes)

    async def transcribe(
        self, form: TranscriptionForm, recording: Recording, context: RequestContext
    ) -> bytes:
        """Write down what is said, as JSON or as it is. Raises CaravanError."""
        _check(form)
        async with TranscriptionRun(self._registry, self._chat, form, recording, context) as run:
            return await run.whole()


class TranscriptionRun(Run):
    """The run of one transcription."""

    def __init__(
        self,
        registry: ModelRegistry,
        chat: ChatService,
        form: TranscriptionForm,
        recording: Recording,
        context: RequestContext,
    ) -> None:
        super().__init__(registry, form.model, self._prepare_chat, context)
        self._chat = chat
        self._form = form
        self._recording = recording

    async def whole(self) -> bytes:
        """Write the answer."""
        with rewording(_named):
            await self.start()
            prepared = await self.prepare()
            text = "".join([output.text async for output in self])
        said = (prepared.format.parse(text).content or "").strip()
        if self._form.response_format == "text":
            return f"{said}\n".encode()
        counts = self.usage()
        num_heard = counts.prompt_tokens_details.audio_tokens
        details = TranscriptionTokens(text_tokens=counts.prompt_tokens - num_heard, audio_tokens=num_heard)
        return to_json(
            Transcription(
                text=said,
                usage=TranscriptionUsage(
                    type="tokens",
                    input_tokens=counts.prompt_tokens,
                    input_token_details=details,
                    output_tokens=counts.completion_tokens,
                    total_tokens=counts.total_tokens,
                ),
            )
        )

    async def _prepare_chat(self, model: LoadedModel) -> Prepared:
        form = self._form
        told = [_TASK]
        if form.language:
            told.append(f"The language is '{form.language}'.")
        if form.prompt:
            told.append(f"What to know of it: {form.prompt}")
        data = await in_thread(self._recording.written)
        # What kind of file it is, its decoder finds out.
        sound = AudioPart(type="input_audio", input_audio=InputAudio(data=data, format="wav"))
        content = [sound, TextPart(type="text", text="\n".join(told))]
        chat = ChatCompletionRequest.model_construct(
            model=form.model,
            messages=[UserMessage.model_construct(role="user", content=content)],
            temperature=form.temperature,
            reasoning_effort="none",
        )
        return await self._chat.prepare(chat, f"transcription-{uuid.uuid4().hex}", self.context, model)


def _named(path: str) -> str:
    return "file" if path.startswith("messages") else path


def _check(form: TranscriptionForm) -> None:
    """Refuse what no model here tells. Raises UnsupportedParameterError."""
    reasons = {
        "response_format": form.response_format in _TIMES and "it has times, which no model here tells",
        "timestamp_granularities": form.timestamp_granularities is not None and "no model here tells times",
        "stream": form.stream == "true" and "the text comes as a whole",
        "chunking_strategy": form.chunking_strategy not in (None, "auto") and "a sound is read as a whole",
        "include": form.include is not None and "chats tell log probabilities",
    }
    for param, reason in reasons.items():
        if reason:
            raise UnsupportedParameterError(f"'{param}' is not supported: {reason}.", param=param)
