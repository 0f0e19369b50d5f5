"""Decisions: labels of questions about one input, scored as branches of one prompt."""
