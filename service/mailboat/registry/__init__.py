"""Which templates there are, and the sources behind each revision."""
