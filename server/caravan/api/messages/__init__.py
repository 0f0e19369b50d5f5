"""Anthropic's Messages API, over the same runs as chats."""
