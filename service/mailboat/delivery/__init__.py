"""The verbs of the road: validate, accept, ring, claim, deliver, book; and looking at what became of a message."""
