"""The HTTP host around the llama.cpp library: one model, published reply shapes, cancellation in every phase."""
