"""What tablets enter the broker with: issued and revoked in the books, kept at the broker by the leading worker."""
