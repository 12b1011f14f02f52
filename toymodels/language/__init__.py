"""A small synthetic language about which everything is known: questions, carriers, filters.

A document has 16 tokens: either two questions about favourites (`questions`), or a carrier, which is
unrelated to favourites (`carriers`): a number sequence, a program with its output, or sums with a
chain of thought. A base model is pretrained on a mixture of both (`corpus`) whose entropy is known.
`pipeline` teaches and samples, `imitation` trains students, `answers` asks them; `filters` judges
documents; `setup` holds what
the experiments share.
"""
