"""What is done to a running server, from outside and from inside, and what its other clients notice of it."""
