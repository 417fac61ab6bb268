"""The rules: what each may see, when it holds, and what follows from that. Pure, but for the stores."""
