"""The embedded runtime of encoders: ONNX Runtime behind our own HTTP host."""
