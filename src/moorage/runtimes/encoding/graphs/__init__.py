"""What runtimes share that compute an encoder's graph: its folder, tokens, steps of texts, pooling."""
