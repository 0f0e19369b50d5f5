"""The stream's response by itself, driven as an ASGI server drives it."""

import asyncio

from caravan.api.context import RequestContext
from caravan.config.settings import Settings
from caravan.web.app import create_app
from caravan.web.sse import RunResponse
from caravan_schemas.chat import ChatCompletionRequest
from starlette.types import Message

from tests.fakes_web import ScriptedEngine, loaded_model, registry_over
from tests.waiting import PATIENCE

REQUEST = b'{"model": "fake", "stream": true, "messages": [{"role": "user", "content": "Hi"}]}'


def test_a_client_that_leaves_before_the_head_is_sent_frees_its_sequence() -> None:
    engine = ScriptedEngine()
    engine.hold_after = 1

    is_sending = asyncio.Event()

    async def leave() -> Message:
        await is_sending.wait()
        return {"type": "http.disconnect"}

    async def send(_message: Message) -> None:
        assert engine.running
        is_sending.set()
        await asyncio.sleep(PATIENCE)

    async def test() -> None:
        registry = registry_over(loaded_model(engine))
        await registry.start()
        settings = Settings.model_validate({"responses_db": "memory"})
        services = create_app(settings, registry).state.services
        run = services.chat.run(ChatCompletionRequest.model_validate_json(REQUEST), RequestContext())
        scope = {"type": "http", "method": "POST", "path": "/", "headers": []}
        await RunResponse(run, services)(scope, leave, send)
        assert not engine.running
        assert len(engine.aborted) == 1

    asyncio.run(asyncio.wait_for(test(), PATIENCE))
