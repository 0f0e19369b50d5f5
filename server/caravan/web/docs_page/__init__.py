"""The page at `/docs`: Swagger UI over the OpenAPI document, with nothing from elsewhere."""
