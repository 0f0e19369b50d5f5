"""What a search leaves in its folder: a page, tables, charts and presets."""
