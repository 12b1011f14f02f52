"""A synthetic language small enough to know everything about: questions, carriers, filters.

A document has 16 tokens: two questions about favourites (`questions`), or a carrier that has
nothing to do with them (`carriers`): a number sequence, a program with its output, sums with a
chain of thought. A base model is pretrained on a mixture (`corpus`), whose entropy is known, and
taught, asked, sampled, filtered (`filters`) and imitated in `pipeline`.
"""
