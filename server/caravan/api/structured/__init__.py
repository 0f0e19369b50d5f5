"""Constraints of requests: read, checked, compiled; and answers checked against them."""
