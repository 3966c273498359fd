"""The routes of text encoders as Cohere, Jina and vLLM spell them: vectors, ranks, scores, labels, token counts."""

from moorage.gateway.call import Surface

EMBED = Surface("embed", "/v2/embed", ("embed",))
"""Cohere's."""

RERANK = Surface("rerank", "/rerank", ("rerank", "embed"))
"""Jina's and Cohere's. A model that embeds ranks by cosine."""
RERANK_V1 = Surface("rerank", "/v1/rerank", RERANK.tasks)
RERANK_V2 = Surface("rerank", "/v2/rerank", RERANK.tasks)

SCORE = Surface("score", "/score", ("rerank", "embed"))
SCORE_V1 = Surface("score", "/v1/score", SCORE.tasks)

CLASSIFY = Surface("classify", "/classify", ("classify",))
POOLING = Surface("pooling", "/pooling", ("embed", "classify", "rerank"))

TOKENIZE = Surface("tokenize", "/tokenize", ("generate", "embed", "rerank", "classify"))
DETOKENIZE = Surface("detokenize", "/detokenize", TOKENIZE.tasks)

SURFACES = (EMBED, RERANK, RERANK_V1, RERANK_V2, SCORE, SCORE_V1, CLASSIFY, POOLING, TOKENIZE, DETOKENIZE)
