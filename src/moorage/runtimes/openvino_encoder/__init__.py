"""The runtime of encoders in OpenVINO's IR: OpenVINO behind our own HTTP host."""
