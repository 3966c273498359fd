"""JSON schemas as grammars of xgrammar, in its EBNF: exact spaces, and nothing of a schema dropped in silence."""
