import io
from importlib import metadata

from xgeoanom import versions
from xgeoanom.versions import show_versions


def shown():
    text = io.StringIO()
    show_versions(text)
    return dict(line.split(": ", 1) for line in text.getvalue().splitlines())


def test_states_installed_versions():
    lines = shown()
    for name in ("xgeoanom", "numpy", "torch", "xarray"):
        assert lines[name] == metadata.version(name)
    assert {"python", "system"} <= set(lines)


def test_says_what_is_missing(monkeypatch):
    monkeypatch.setattr(versions, "_dependencies", lambda: ["no-such-package"])
    assert shown()["no-such-package"] == "not installed"
