"""The HTTP host around OpenVINO GenAI: one model that writes, batched continuously on the processor."""
