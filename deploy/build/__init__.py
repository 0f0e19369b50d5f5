"""The native build of llama.cpp for this machine: probed before, checked after, kept by what it is made of.

Only the standard library is imported here, except in `first_prompt`, which runs in a process of its own.
"""
