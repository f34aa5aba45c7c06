"""One file per provider, behind one small interface (`base`)."""
