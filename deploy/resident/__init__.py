"""How the resident model is made: corpus, tokenizer, training, export and evaluation."""
