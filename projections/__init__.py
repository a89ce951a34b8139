"""Read models, one module each, and the engine that runs them."""
