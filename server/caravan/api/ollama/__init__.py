"""Ollama's API: its requests become chats and text completions, and what comes of these becomes its lines."""
