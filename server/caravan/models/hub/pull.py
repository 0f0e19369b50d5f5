"""Brings the files of a model from the hub: resumed where they stopped, checked, split files together."""

import errno
import fcntl
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any, Protocol, cast

import httpx2
from huggingface_hub import HfApi, constants
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import hf_hub_url, http_get
from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # loaded lazily
from huggingface_hub.utils.tqdm import disable_progress_bars

from caravan.models.hub import names
from caravan.models.local_models import model_folder

# Checksums of what was pulled, beside it.
_RECORD = ".pulled.json"
_CHUNK = 1 << 20


class PullError(Exception):
    """A model cannot be brought here; the message is for whoever asked for it."""


class Progress(Protocol):
    """Is told how far a pull is."""

    def start(self, name: str, size: int) -> None:
        """A file of so many bytes comes next."""

    def advance(self, count: int) -> None:
        """So many bytes more of it are here; negative where it starts over."""


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository. `sha256` is None for files that are not stored as large ones."""

    name: str
    size: int
    sha256: str | None

    def below(self, home: Path) -> Path:
        """Where it goes: folders of the repository are left out, since file names say all."""
        return home / Path(self.name).name


def pull(reference: names.Reference, revision: str | None, data_dir: Path, progress: Progress) -> list[Path]:
    """Bring one model's files, its projector the last; those that are here already are left alone. Raises
    PullError.
    """
    disable_progress_bars()
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    home = model_folder(data_dir, *reference.repository.split("/"))
    with _explained(reference.repository):
        commit, files = _choose(reference, revision)
        record = _read_record(home)
        missing = [file for file in files if not _is_here(file.below(home), file, record)]
        _check_space(home, missing)
        for file in missing:
            _bring(reference.repository, commit, file, file.below(home), progress)
            record[file.name] = file.sha256
            (home / _RECORD).write_text(json.dumps(record, indent=1))
    return [file.below(home) for file in files]


def _choose(reference: names.Reference, revision: str | None) -> tuple[str, list[RemoteFile]]:
    info = HfApi().model_info(reference.repository, revision=revision, files_metadata=True)
    files = {
        file.rfilename: RemoteFile(file.rfilename, file.size or 0, file.lfs.sha256 if file.lfs else None)
        for file in info.siblings or []
    }
    try:
        chosen = names.choose(files, reference.choice)
        projector = names.projector_of(files, chosen[0])
        chosen += [] if projector is None else [projector]
        return info.sha or revision or "main", [files[name] for name in chosen]
    except LookupError as error:
        raise PullError(f"{reference.repository}: {error.args[0]}") from error


def _bring(repository: str, commit: str, file: RemoteFile, target: Path, progress: Progress) -> None:
    if file.size > constants.MAX_HTTP_DOWNLOAD_SIZE:
        raise PullError(
            f"{file.name} is larger than the hub hands out in one piece. Get it with "
            f"`hf download {repository} {file.name} --local-dir {target.parent}`."
        )
    progress.start(file.name, file.size)
    with closing(Part(target, file.size, file.sha256, progress.advance)) as part:
        http_get(
            hf_hub_url(repository, file.name, revision=commit, endpoint=constants.ENDPOINT),
            cast(Any, part),
            resume_size=part.tell(),
            headers=build_hf_headers(),
            expected_size=file.size,
        )
        part.finish()


def _is_here(path: Path, file: RemoteFile, record: dict[str, str | None]) -> bool:
    return path.is_file() and path.stat().st_size == file.size and record.get(file.name) == file.sha256


def _read_record(home: Path) -> dict[str, str | None]:
    try:
        return dict(json.loads((home / _RECORD).read_text()))
    except (OSError, ValueError):
        return {}


def _check_space(home: Path, files: list[RemoteFile]) -> None:
    """Raises PullError where the disk has less room than the files still need."""
    needed = 0
    for file in files:
        part = part_path(file.below(home), file.sha256)
        needed += file.size - (part.stat().st_size if part.exists() else 0)
    home.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(home).free
    if needed > free:
        raise PullError(f"{needed / 1e9:.1f} GB are still to come, and {home} has {free / 1e9:.1f} GB free")


@contextmanager
def _explained(repository: str) -> Iterator[None]:
    """What can go wrong with the hub, as a PullError that says what to do."""
    hub = constants.ENDPOINT
    try:
        yield
    except OfflineModeIsEnabled as error:
        raise PullError("HF_HUB_OFFLINE is set, so nothing can be pulled") from error
    except GatedRepoError as error:
        raise PullError(
            f"{repository} is gated: accept its terms at {hub}/{repository}, then set HF_TOKEN to your token"
        ) from error
    except RevisionNotFoundError as error:
        raise PullError(f"{repository} has no such revision") from error
    except RepositoryNotFoundError as error:
        raise PullError(
            f"{hub} has no {repository}, or it is private (set HF_TOKEN to a token that may read it)"
        ) from error
    except HFValidationError as error:
        raise PullError(str(error)) from error
    except HfHubHTTPError as error:
        raise PullError(f"{hub} answered {error.response.status_code} for {repository}") from error
    except httpx2.HTTPError as error:
        raise PullError(f"{hub} cannot be reached: {error or type(error).__name__}") from error
    except OSError as error:
        raise PullError(f"{repository}: {error}") from error


class Part:
    """A file on its way here, which huggingface_hub's `http_get` writes to.

    It is hashed as it grows, kept when it is interrupted, and named only once it is right: their own download
    starts over after an interruption, and checks the size alone. `advance` is told of bytes gained, and of
    bytes lost. The name has the checksum in it, so that parts of two versions of a file never mix.
    """

    def __init__(self, target: Path, size: int, sha256: str | None, advance: Callable[[int], None]) -> None:
        self._target = target
        self._sha256 = sha256
        self._advance = advance
        target.parent.mkdir(parents=True, exist_ok=True)
        self.path = part_path(target, sha256)
        self._file: FileIO = self.path.open("a+b", buffering=0)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise PullError(f"{target.name} is being pulled by another process") from error
        self._hash = hashlib.sha256()
        if os.fstat(self._file.fileno()).st_size > size:
            self._file.truncate(0)
        self._file.seek(0)
        while chunk := self._file.read(_CHUNK):
            self._hash.update(chunk)
            advance(len(chunk))

    def close(self) -> None:
        """Close the file, finished or not."""
        self._file.close()

    def write(self, chunk: bytes) -> int:
        """Append. Raises PullError where the disk is full."""
        try:
            remaining = memoryview(chunk)
            while remaining:
                remaining = remaining[self._file.write(remaining) :]
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise PullError(f"the disk of {self.path.parent} is full; what has come is kept") from error
            raise
        self._hash.update(chunk)
        self._advance(len(chunk))
        return len(chunk)

    def tell(self) -> int:
        """Bytes here."""
        return self._file.tell()

    def seek(self, position: int) -> int:
        """Only to the beginning: to start over."""
        return self._file.seek(position)

    def truncate(self) -> int:
        """Forget what has come."""
        self._advance(-os.fstat(self._file.fileno()).st_size)
        self._hash = hashlib.sha256()
        return self._file.truncate()

    def finish(self) -> None:
        """Check, and give the file its name. Raises PullError, and then the part is gone."""
        if self._sha256 is not None and self._hash.hexdigest() != self._sha256:
            self.path.unlink()
            raise PullError(
                f"{self._target.name} did not arrive as the hub has it: its checksum is wrong. "
                "It was removed; pull it again."
            )
        os.fsync(self._file.fileno())
        os.replace(self.path, self._target)


def part_path(target: Path, sha256: str | None) -> Path:
    """Where a file is kept while it is incomplete."""
    return target.with_name(f"{target.name}.{(sha256 or 'unknown')[:12]}.part")
