"""Speech to text: faster-whisper (CTranslate2) behind the runtimes' host."""
