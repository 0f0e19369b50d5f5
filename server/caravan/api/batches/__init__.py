"""OpenAI's files and batches: `FileService` and `BatchService`. README.md tells what is behind them."""
