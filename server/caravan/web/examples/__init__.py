"""An example of every route for the OpenAPI document: requests are written by hand, answers are what the
model that ships has answered (`python -m deploy.examples`).
"""
