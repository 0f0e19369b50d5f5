"""Caravan on Ray Serve: the web side and each model as deployments, which may be on many machines.

What decides anything is in files that know nothing of Ray; `app.py` has the way in.
"""
