"""Responses: requests in OpenAI's newer shape, answered by the chat service, kept and asked for again."""
