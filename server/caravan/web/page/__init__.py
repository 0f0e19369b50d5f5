"""The page at `/`: its files, how they are served, and what it is told of the server before it asks."""
