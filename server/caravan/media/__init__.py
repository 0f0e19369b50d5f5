"""Images and sounds on their way into prompts: fetched, encoded in a process of their own, and held."""
