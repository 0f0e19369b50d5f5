"""The small model that ships with the package, so that nothing has to be downloaded to see it work."""

from importlib.resources import files
from pathlib import Path

RESIDENT_ID = "caravan-resident"


def model_path() -> Path:
    """The GGUF file; llama.cpp opens it by name, so it has to be a real file."""
    return Path(str(files(__name__).joinpath("resident.gguf")))
