"""What several owners want at once, and how much of it each one gets. Owners are known by any names."""
