"""The migration shim: two health monitors beside each other, compared until one can go."""

__version__ = "0.1.0"
