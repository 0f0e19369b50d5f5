"""`caravan chat`: a conversation in the terminal."""

import contextlib
import secrets
from typing import Annotated

import typer

from caravan.cli.server_options import ApiKey


def command(
    model: Annotated[
        str | None,
        typer.Argument(help="GGUF file, or name of a pulled model. With --url: name of a model there."),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(
            envvar="CARAVAN_URL", help="Address of a running server. Default: start one for this chat."
        ),
    ] = None,
    api_key: ApiKey = None,
    system: Annotated[str, typer.Option(help="System message.", show_default=False)] = "",
) -> None:
    """Talk with a model in the terminal. /help shows the commands.

    Enter sends, Alt-Enter begins a new line, Ctrl-C stops an answer, Ctrl-D ends. If standard input is not a
    terminal, each of its lines is a message.
    """
    from caravan.cli.chat.client import ChatClient
    from caravan.cli.chat.conversation import Conversation
    from caravan.cli.chat.local_server import own_server
    from caravan.cli.chat.terminal import talk
    from caravan.cli.options import configuration

    settings = configuration({}).settings
    key = api_key if url else secrets.token_urlsafe()
    options = ["--model", model] if model else []
    serving = contextlib.nullcontext(url) if url else own_server(options, key or "")
    certificate = None if url else settings.tls_certificate
    with serving as address, ChatClient(address, key, certificate) as client:
        known = client.models()
        conversation = Conversation(model if url and model else known[0])
        if system:
            conversation.command(f"/system {system}")
        talk(client, conversation, settings.data_dir / "chat_history")
