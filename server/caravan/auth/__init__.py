"""Keys and what each allows."""
