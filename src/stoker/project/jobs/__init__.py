"""Items as jobs of clients: requests checked, uploads kept, jobs submitted, followed and removed."""
