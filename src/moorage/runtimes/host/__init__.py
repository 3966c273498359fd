"""What every runtime of ours is made of: a process, a socket, an ASGI app, metrics."""
