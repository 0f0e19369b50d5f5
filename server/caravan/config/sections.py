"""Headings of the options, in the help and in the example file."""

# The help shows options under headings: each holds from the option named here to the next one named.
SECTIONS = {
    "config": "Configuration",
    "model": "Model",
    "host": "Network",
    "context_size": "Engine",
    "cache_type_k": "llama.cpp",
    "keys_file": "Access",
    "defaults": "Requests",
    "responses_db": "Responses",
    "sse_ping_seconds": "Operation",
}
