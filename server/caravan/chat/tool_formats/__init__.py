"""Formats of tool calls, a file a family. `registry` has them all by name."""
