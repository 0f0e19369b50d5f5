"""`caravan tune`: a search for decoding parameters, shown as it goes."""
