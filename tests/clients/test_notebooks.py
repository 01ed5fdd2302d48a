"""The notebooks of docs/notebooks run from top to bottom against a real server, and show what they promise."""

from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parent.parent.parent
NOTEBOOK = ROOT / "docs" / "notebooks" / "evaluate.ipynb"


def test_evaluate(server, monkeypatch):
    url, key = server
    monkeypatch.setenv("KURA_URL", url)
    monkeypatch.setenv("KURA_API_KEY", key)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(NOTEBOOK.parent)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    text = "".join(output.get("text", "") for output in outputs)
    assert "30 questions" in text
    assert "with late interaction" in text and "nDCG@10" in text
    assert "config.retrieval.late_weight" in text
    assert "questions do not have their document first" in text
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) == 2
