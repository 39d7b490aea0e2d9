"""Which tensor is which: what a model's files call and lay out otherwise than its memory."""
