"""The wire: requests and responses as OpenAI documents them. Knows nothing of the server."""
