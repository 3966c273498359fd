"""The bodies of the inference routes: what clients may send and what they get, as types."""
