"""Whether a model's projector can be used, for `caravan doctor`."""

import time
from collections.abc import Awaitable, Callable

from caravan.cli.finding import Finding, Verdict
from caravan.media.client import EncoderStartError
from caravan.media.values import MediaEncoder

_SUBJECT = "projector"
_OTHER = "name the model's own with --mmproj, or none"
_VERBS = {"image": "sees", "audio": "hears"}


async def projector(start: Callable[[], Awaitable[MediaEncoder | None]]) -> Finding:
    """Start the model's encoder, and end it."""
    began = time.monotonic()
    try:
        encoder = await start()
    except EncoderStartError as error:
        return Finding(_SUBJECT, Verdict.FAULT, str(error), _OTHER)
    if encoder is None:
        detail = "there is one beside the model, and it does not fit: the model takes text alone"
        return Finding(_SUBJECT, Verdict.ADVICE, detail, _OTHER)
    verbs = " and ".join(verb for kind, verb in _VERBS.items() if kind in encoder.modalities)
    await encoder.close()
    return Finding(
        _SUBJECT, Verdict.FINE, f"the model {verbs}, {time.monotonic() - began:.1f} s after the start"
    )
