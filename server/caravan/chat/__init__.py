"""Conversations into prompt text; pure text, no engine."""
