"""The pages beyond the inbox: one module for each, with a class whose `routes` say what it answers."""
