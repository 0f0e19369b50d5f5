"""What stands around the server: how it is built, configured and run. The server imports none of it."""
