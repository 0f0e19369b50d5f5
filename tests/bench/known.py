"""Prompts from one start of a server to the next: it keeps them by itself, or is told to for each slot."""

import time
from collections.abc import Sequence

import msgspec

from tests.bench.asking import post, unstreamed
from tests.bench.plan import Body, Script
from tests.bench.servers import Keeping, Server


def make_known(keeping: Keeping, server: Server, path: str, scripts: Sequence[Script]) -> None:
    """Send everything to a server that is ended then; where it keeps by slots, there are as many of these.

    Raises ServerError.
    """
    for slot, body in enumerate(_bodies(scripts)):
        asked = unstreamed(body)
        if keeping is Keeping.ITSELF:
            post(server, path, asked)
        else:
            post(server, path, asked | {"id_slot": slot})
            post(server, f"/slots/{slot}?action=save", {"filename": _file_of(slot)})


def bring_back(keeping: Keeping, server: Server, scripts: Sequence[Script], notes: list[str]) -> list[Script]:
    """Have a new server restore what it does not look for by itself; the scripts as it is to be asked.

    How long that takes goes to the notes, as it is in no request's time. Raises ServerError.
    """
    if keeping is not Keeping.BY_SLOT:
        return list(scripts)
    began, slot, changed = time.perf_counter(), 0, list[Script]()
    for script in scripts:
        bodies: list[Body] = []
        for body in script.bodies:
            post(server, f"/slots/{slot}?action=restore", {"filename": _file_of(slot)})
            bodies.append(body | {"id_slot": slot})
            slot += 1
        changed.append(msgspec.structs.replace(script, bodies=bodies))
    seconds = (time.perf_counter() - began) / max(1, slot)
    notes.append(f"{server.name} was told to restore each prompt: {seconds:.2f} s each, beside its times.")
    return changed


def _bodies(scripts: Sequence[Script]) -> list[Body]:
    return [body for script in scripts for body in script.bodies]


def _file_of(slot: int) -> str:
    return f"{slot}.bin"
