"""The routes of encoders over a small port, which every library that can encode implements."""
