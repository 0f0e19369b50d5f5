"""What it takes to build, train and run Caravan elsewhere. Nothing here is imported by the server."""
