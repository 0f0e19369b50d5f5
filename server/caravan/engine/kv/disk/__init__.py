"""Prefixes of texts on the disk: what cells held of them, in files of some hundred tokens each.

Knows keys, bytes and files, and nothing of sequences, cells or requests; `caravan.engine.disk_tier` is where
both meet.
"""
