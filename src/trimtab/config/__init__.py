"""What an experiment is made of: composed, checked, built, and known by its fingerprint."""
