"""The outside world behind the ports of the application: databases, providers, carriers, settings."""
