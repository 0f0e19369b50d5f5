"""Wire values into engine values and back; the only layer that sees both."""
