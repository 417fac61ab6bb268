"""The server that keeps telemedicine kits working in people's homes."""

__version__ = "0.1.0"
