"""`caravan rpc-worker`: lends this machine's GPUs, or its processor, to a server on another one."""

import signal
from pathlib import Path
from typing import Annotated

import typer

from caravan.cli.errors import CommandError


def command(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 50052,
    threads: Annotated[int, typer.Option(min=0, help="Threads that compute. 0: one for each core.")] = 0,
    cache: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="Folder to keep large weights in, so that they are sent once."),
    ] = None,
) -> None:
    """Hold and compute layers of models for `caravan serve --rpc HOST:PORT`, until interrupted.

    No key is asked for, and nothing is encrypted: whoever reaches this address can read and change what is
    computed. Both sides need the same version of llama.cpp.
    """
    from caravan.config.network_names import is_loopback
    from caravan.llama import rpc
    from caravan.llama.devices import device_names
    from caravan.runtime.machine import usable_cores
    from caravan.web.startup_checks import bound_socket
    from caravan.web.startup_message import StartError

    try:
        bound_socket(host, port).close()
        folder = None if cache is None else Path(cache).expanduser()
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        if not rpc.is_built():
            raise rpc.RpcError(rpc.NOT_BUILT)
    except (OSError, StartError, rpc.RpcError) as error:
        raise CommandError(str(error)) from error
    print(f"worker on {host}:{port}: {', '.join(device_names())}", flush=True)
    if not is_loopback(host):
        print("no key is asked for, and nothing is encrypted: keep this network to yourself", flush=True)
    # It is llama.cpp's from here on, which looks at no signal of Python's.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    rpc.work(f"{host}:{port}", threads or usable_cores(), folder)
    raise CommandError("llama.cpp could not be a worker; its own words are above")
