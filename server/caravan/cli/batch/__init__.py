"""A batch from the command line: sent to a server, watched, and its answers fetched."""
