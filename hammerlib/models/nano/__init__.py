"""The reference tiny language model: tokenizer, worked solutions, training recipe, shipped checkpoint."""
