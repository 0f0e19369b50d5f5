"""Connections: how they are listened for, encrypted, and kept within limits before there is a request."""
