"""One life of an encoder's process, as the server's threads see it: they ask, and wait."""

import os
import socket
import subprocess
import time
from dataclasses import dataclass

from caravan.media import wire
from caravan.runtime import children

_MODULE = "caravan.media.process"
# Threads that wait for each other must not take the processor from the engine's meanwhile; a debugger that
# looks at the end of the process would keep whoever waits for it.
_VARIABLES = {"GOMP_SPINCOUNT": "1000", "GGML_NO_BACKTRACE": "1"}
_OPEN_SECONDS = 600.0


class LostError(Exception):
    """The process has ended, or had to be ended; one line."""


class NotOpenedError(LostError):
    """The process cannot load the projector; one line for the operator, with its path."""


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """A projector, the model that it belongs to, and limits.

    `seconds` are those that one input may take. `max_pixels` and `max_sound_seconds` bound it before it is
    decoded, `memory_bytes` is what the process may take besides the projector, `cache_bytes` what is kept of
    embeddings.
    """

    projector_path: str
    model_path: str
    num_threads: int
    use_gpu: bool
    max_pixels: int
    max_sound_seconds: float
    memory_bytes: int
    cache_bytes: int
    seconds: float


class EncoderProcess:
    """A process that has the projector once it is opened. Raises LostError and OSError.

    One thread opens it and asks at a time; any may kill it, and whoever waits then gets LostError.
    """

    def __init__(self, config: EncoderConfig) -> None:
        self._config = config
        self.modalities: tuple[str, ...] = ()
        self._connection, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = children.start(_MODULE, theirs, env=_VARIABLES | os.environ)
            except BaseException:
                self._connection.close()
                raise

    def open(self) -> None:
        """Have it load the projector; it has ended where it cannot."""
        config = self._config
        first = wire.Open(
            model_path=config.model_path,
            projector_path=config.projector_path,
            num_threads=config.num_threads,
            use_gpu=config.use_gpu,
            max_pixels=config.max_pixels,
            max_seconds_of_sound=config.max_sound_seconds,
            # Drivers of GPUs map more memory than there is.
            memory_bytes=0 if config.use_gpu else config.memory_bytes,
        )
        try:
            answer = self._exchange(first, _OPEN_SECONDS)
            if isinstance(answer, wire.Failed):
                raise NotOpenedError(answer.message)
            if not isinstance(answer, wire.Opened):
                raise LostError("it answers what it was not asked")
        except BaseException:
            self.end()
            raise
        self.modalities = answer.modalities

    @property
    def pid(self) -> int:
        """The operating system's number of the process."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def ask(self, request: wire.Read) -> wire.FromEncoder:
        """Have an input encoded. After LostError the process has ended."""
        try:
            return self._exchange(request, self._config.seconds)
        except BaseException:
            self.end()
            raise

    def kill(self) -> None:
        """End it at once, from whichever thread."""
        self._process.kill()

    def end(self) -> int:
        """End it and wait for that; its status."""
        self._process.kill()
        status = self._process.wait()
        self._connection.close()
        return status

    def _exchange(self, message: wire.ToEncoder, seconds: float) -> wire.FromEncoder:
        deadline = time.monotonic() + seconds
        try:
            self._connection.settimeout(seconds)
            self._connection.sendall(wire.encode(message))
            size = wire.LENGTH.unpack(self._read(wire.LENGTH.size, deadline))[0]
            return wire.from_encoder(self._read(size, deadline))
        except TimeoutError:
            raise LostError(f"it takes more than {seconds:g} seconds") from None
        except (OSError, EOFError):
            raise LostError(f"the encoder {self._fate()}") from None

    def _read(self, size: int, deadline: float) -> bytes:
        data = bytearray(size)
        view = memoryview(data)
        done = 0
        while done < size:
            self._connection.settimeout(max(0.001, deadline - time.monotonic()))
            count = self._connection.recv_into(view[done:])
            if count == 0:
                raise EOFError
            done += count
        return bytes(data)

    def _fate(self) -> str:
        try:
            status = self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            return "does not answer any more"
        return f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
