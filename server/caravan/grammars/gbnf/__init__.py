"""GBNF, llama.cpp's grammar notation: read as llama.cpp reads it, and written anew for llguidance."""
