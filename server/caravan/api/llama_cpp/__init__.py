"""llama.cpp's own API: its requests become text completions, and what comes of these its documents."""
