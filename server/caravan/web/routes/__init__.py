"""HTTP only: read a body, call a service, encode the answer."""
