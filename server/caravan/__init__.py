"""Caravan: an OpenAI-compatible inference server for GGUF models and many users."""
