"""Conversations into prompts: what a chat template shows is learnt, and conversations adapted to it."""
