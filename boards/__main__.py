"""Write every board to `config/grafana/`, from the root of the repository: `python -m boards`."""

from pathlib import Path

from boards.files import files

FOLDER = Path(__file__).parent.parent / "config" / "grafana"

for name, text in files().items():
    (FOLDER / name).write_text(text)
    print(f"config/grafana/{name}")
