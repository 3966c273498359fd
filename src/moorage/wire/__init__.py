"""What crosses a process boundary: message types and codecs. No framework, no client, no environment."""
