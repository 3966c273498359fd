"""What the runtimes that write text share: the client's requests checked, and the engine's pieces made into replies."""
