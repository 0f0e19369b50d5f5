"""What `make audit` looks at: pins and their hashes, licences, our own code, advisories."""
