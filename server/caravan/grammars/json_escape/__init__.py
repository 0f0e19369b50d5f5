"""Grammars of texts into grammars of the same texts as they stand inside of JSON strings.

`rewriting.escaped_lark` is the way in.
"""
