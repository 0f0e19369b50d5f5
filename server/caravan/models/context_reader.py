"""How long a model's texts may be, foreseen from its file."""

from pathlib import Path

from caravan.config.engine_config import EngineConfig
from caravan.llama.gguf_header import GgufHeader, HeaderError, read_header
from caravan.llama.model_file import stamp
from caravan.models.engine_config import context_size_of
from caravan.models.loader import ContextLength


class ContextReader:
    """Tells how long a model's texts may be, and reads its file for that only when it is another."""

    def __init__(self, config: EngineConfig, header: GgufHeader | None) -> None:
        self._config = config
        self._header = header
        self._stamp = stamp(Path(config.model_path))
        self._found: ContextLength | None = None

    def __call__(self) -> ContextLength:
        """The lengths; a file that cannot be read tells none, and is read again the next time."""
        try:
            now = stamp(Path(self._config.model_path))
            if now != self._stamp:
                self._found, self._header, self._stamp = None, None, now
            if self._found is None:
                header = self._header or read_header(self._config.model_path)
                size = context_size_of(self._config, header)
                self._found, self._header = ContextLength(size, header.training_context or None), None
        except (HeaderError, OSError):
            return ContextLength()
        return self._found
