"""From a row of logits to a token: each stage a small function over the tokens still possible.

Stages act in this order: bias and bans, penalties, DRY, truncation, temperature, draw. Their reference in the
tests is llama.cpp's own sampler of the same name; the mathematics is in each docstring.
"""
