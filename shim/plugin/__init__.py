"""The plugin interface: the hooks that a distribution implements, and how its monitors are found."""
