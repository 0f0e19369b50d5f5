"""`caravan pull`: a model from the Hugging Face hub."""

from pathlib import Path
from typing import Annotated

import typer

from caravan.cli.errors import WRONG_USAGE, CommandError


def command(
    model: Annotated[
        str, typer.Argument(help="org/repository, or org/repository:quantization.", show_default=False)
    ],
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit.")] = None,
    data_dir: Annotated[str | None, typer.Option(metavar="PATH", help="Where models are kept.")] = None,
) -> None:
    """Bring a GGUF model from the Hugging Face hub.

    Without a quantization, Q4_K_M is taken, or what comes nearest to it. A pull that was interrupted goes on
    where it stopped, and every file is checked. HF_TOKEN, HF_ENDPOINT and HF_HUB_OFFLINE mean what they do
    elsewhere.
    """
    from caravan.cli.options import configuration
    from caravan.models.hub.names import parse_reference
    from caravan.models.hub.pull import PullError, pull

    folder: Path = configuration({"data_dir": data_dir}).settings.data_dir
    try:
        reference = parse_reference(model)
    except ValueError as error:
        raise CommandError(str(error), WRONG_USAGE) from error
    from caravan.cli.pull_progress import PullProgress

    try:
        with PullProgress() as progress:
            files = pull(reference, revision, folder, progress)
    except PullError as error:
        raise CommandError(str(error)) from error
    except KeyboardInterrupt as error:
        raise CommandError("interrupted; the same command goes on from here") from error
    from caravan.models.local_models import quantization

    name = f"{reference.repository}:{quantization(files[0])}"
    print(f"{name} is in {files[0].parent}\nserve it: caravan serve --model {name}")
