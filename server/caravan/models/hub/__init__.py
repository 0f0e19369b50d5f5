"""Models of the Hugging Face hub: named, brought here, found again."""
