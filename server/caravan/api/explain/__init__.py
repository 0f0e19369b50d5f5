"""Decoding explained: `POST /v1/decoding/explain`."""
