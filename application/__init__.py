"""Commands and their handlers, process managers, ports and the composition root."""
