"""Everything around the server: examples for running it, and the training of its resident model."""
