"""What is to be done, decided without asking anybody: no kopf, no API server, no database in here."""
