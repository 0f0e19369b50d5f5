"""`POST /v1/audio/transcriptions`."""

from caravan_schemas.transcriptions import Transcription, TranscriptionForm
from fastapi import APIRouter, Request, Response

from caravan.web.dependencies import UseContext, UseServices
from caravan.web.openapi import describe_form
from caravan.web.request_body import HeldBody
from caravan.web.sse import respond_whole

router = APIRouter(tags=["audio"])


@router.post(
    "/v1/audio/transcriptions",
    response_model=Transcription,
    openapi_extra=describe_form(TranscriptionForm),
)
async def create_transcription(request: Request, services: UseServices, context: UseContext) -> Response:
    """Write down what is said in a recording, by a model that hears."""
    recording = services.transcriptions.recording()
    held = HeldBody(services.bodies.budget, context.principal.id)

    async def write(data: bytes) -> None:
        held.hold(len(data))
        await recording.write(data)

    try:
        form = await services.forms.read(request, TranscriptionForm, write)
        form.model = services.registry.name_of(form.model, context.principal)
        answer = await respond_whole(request, services.transcriptions.transcribe(form, recording, context))
    finally:
        held.release()
    if form.response_format == "text" and answer.status_code == 200:
        answer.headers["content-type"] = "text/plain; charset=utf-8"
    return answer
