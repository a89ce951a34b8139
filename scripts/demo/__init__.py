"""The demo shop of a first start: its catalogue, and a year of business that never was."""
