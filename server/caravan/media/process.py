"""An encoder's process: decodes files, encodes them by a projector, and writes embeddings into memory files.

Started by `caravan.runtime.children`, with a socket's number. What strangers send is decoded here, within
limits of memory and size; the server limits the time.
"""

import hashlib
import os
import resource
import socket
import sys
import traceback
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from caravan.llama.model_file import add_file
from caravan.llama.projector import Chunk, EncodeError, Projector, ProjectorError, SoundError
from caravan.media import wire
from caravan.media.images import pixels_of
from caravan.media.sounds import check_decoded, check_sound
from caravan.media.values import MediaRefusedError
from caravan.runtime.machine import prefer_as_victim

# Beneath the engine's threads, which have streams to keep going, and not so far that nothing is left for it.
_NICE = 5
_ALIGNMENT = 64
# Part of each key: pixels are made otherwise by another version of this code.
_PREPROCESSING = b"caravan-media-1"


def main() -> None:
    """Serve one projector until the server is gone."""
    prefer_as_victim()
    os.nice(_NICE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        first = wire.receive(connection)
        if not isinstance(first, wire.Open):
            return
        try:
            encoder = Encoder(first)
        except (ProjectorError, OSError) as error:
            connection.sendall(wire.encode(wire.Failed(message=str(error))))
            return
        bound_memory(first.memory_bytes)
        connection.sendall(wire.encode(wire.Opened(modalities=encoder.modalities)))
        while isinstance(request := wire.receive(connection), wire.Read):
            connection.sendall(wire.encode(encoder.answer(request)))


class Encoder:
    """A projector and what keys of its embeddings begin with. Raises ProjectorError and OSError."""

    def __init__(self, options: wire.Open) -> None:
        self._options = options
        self._projector = Projector(
            options.projector_path,
            options.model_path,
            num_threads=options.num_threads,
            use_gpu=options.use_gpu,
        )
        kinds = (("image", self._projector.sees), ("audio", self._projector.hears))
        self.modalities = tuple(kind for kind, can in kinds if can)
        digest = hashlib.sha256(_PREPROCESSING)
        add_file(digest, Path(options.projector_path))
        self._seed = digest.digest()

    def answer(self, request: wire.Read) -> wire.FromEncoder:
        """Read one input; whatever Python can catch is an answer."""
        try:
            return self._read(request)
        except MediaRefusedError as error:
            return wire.Refused(message=str(error))
        except MemoryError:
            return wire.Refused(message="takes too much memory to be read")
        except SoundError as error:
            return wire.Refused(message=f"is broken: {error}")
        except EncodeError as error:
            return wire.Failed(message=str(error))
        except Exception as error:
            # Its words may have paths of this machine in them, which are no client's business.
            traceback.print_exc()
            return wire.Failed(message=f"the encoder failed ({type(error).__name__})")

    def _read(self, request: wire.Read) -> wire.Encoded:
        projector, options = self._projector, self._options
        if request.kind == "image":
            pixels = pixels_of(request.data, max_pixels=options.max_pixels, detail=request.detail)
            seed = self._key(pixels)
            with projector.chunks_of_image(pixels) as chunks:
                return self._encoded(chunks, seed, request.path)
        check_sound(request.data, max_seconds=options.max_seconds_of_sound)
        samples = projector.decode_sound(request.data)
        check_decoded(len(samples) / projector.sample_rate, options.max_seconds_of_sound)
        seed = self._key(samples)
        with projector.chunks_of_sound(samples) as chunks:
            return self._encoded(chunks, seed, request.path)

    def _key(self, values: NDArray[np.uint8] | NDArray[np.float32]) -> bytes:
        digest = hashlib.blake2b(repr((values.dtype.str, values.shape)).encode(), key=self._seed)
        digest.update(np.ascontiguousarray(values).data)
        return digest.digest()

    def _encoded(self, chunks: list[Chunk], seed: bytes, path: str) -> wire.Encoded:
        found: list[tuple[int, ...] | wire.Run] = []
        offset = 0
        # Written, not mapped: a file system that is full is an error then, and no end of the process.
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            for index, chunk in enumerate(chunks):
                if not chunk.num_cells or chunk.token_ids:
                    found.append(chunk.token_ids)
                    continue
                embeddings = np.empty((chunk.num_cells, self._projector.width), np.float32)
                self._projector.encode(chunk, embeddings)
                if not np.isfinite(embeddings).all():
                    raise EncodeError("the projector computed numbers that are not finite")
                file.write(embeddings.data)
                file.write(bytes(-embeddings.nbytes % _ALIGNMENT))
                key = hashlib.blake2b(index.to_bytes(4, "little"), key=seed, digest_size=16).digest()
                found.append(
                    wire.Run(
                        num_cells=chunk.num_cells,
                        num_positions=chunk.num_positions,
                        key=key,
                        is_causal=chunk.is_causal,
                        positions=chunk.positions,
                        offset=offset,
                        width=self._projector.width,
                    )
                )
                offset += embeddings.nbytes + -embeddings.nbytes % _ALIGNMENT
        return wire.Encoded(chunks=tuple(found), num_bytes=offset)


def bound_memory(num_bytes: int) -> None:
    """Let this process take so much more than it has now, where the system counts that (Linux)."""
    if sys.platform != "linux" or not num_bytes:
        return
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    used = int(fields["VmData"].split()[0]) * 1024
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = used + num_bytes
    resource.setrlimit(
        resource.RLIMIT_DATA, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard)
    )


if __name__ == "__main__":
    main()
