"""A payment provider and a carrier to try things with: a process and a database of their own, spoken to over HTTP."""
