"""Guesses at how a text goes on, several tokens at once. The model has the last word about each of them, so
nothing here can change a text; it only changes how many steps the text takes.
"""
