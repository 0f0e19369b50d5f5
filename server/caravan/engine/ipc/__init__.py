"""The border to the engine's process, on the server's side.

`AsyncEngine` is the engine's face there, `messages` has what crosses the border.
"""
