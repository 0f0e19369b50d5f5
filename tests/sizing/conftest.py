"""Contexts without anything of ours in between, to hold estimates against."""

from tests.llama.conftest import opened

__all__ = ["opened"]
