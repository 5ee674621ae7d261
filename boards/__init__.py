"""The Grafana boards as code: `python -m boards` writes the JSON under `config/grafana/`.

A tool for developers, not part of the package; it needs `grafana-foundation-sdk`.
"""
