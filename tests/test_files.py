"""Files are written whole or not at all, and errors name them."""

import os

import pytest

from silo_jax.files import append_text, write_atomically


@pytest.mark.parametrize("name", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_file_alone(tmp_path, monkeypatch, name):
    path = tmp_path / "file"
    write_atomically(path, "old")

    def fail(*_):
        raise OSError(28, "disk full")

    with monkeypatch.context() as patch:
        patch.setattr(os, name, fail)
        with pytest.raises(OSError, match=rf"^\[Errno 28\] disk full: '{path}'\Z"):
            write_atomically(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_what_was_written_is_there(tmp_path):
    path = tmp_path / "file"
    write_atomically(path, b"\xff\n")
    assert path.read_bytes() == b"\xff\n"
    write_atomically(path, "± 1\n")
    append_text(path, "± 2\n")
    assert path.read_text("utf-8") == "± 1\n± 2\n"


def test_appending_is_on_the_disk_or_an_error_that_names_the_file(tmp_path, monkeypatch):
    path = tmp_path / "file"

    def fail(_):
        raise OSError(5, "disk gone")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match=rf"^\[Errno 5\] disk gone: '{path}'\Z"):
        append_text(path, "line\n")
    with pytest.raises(IsADirectoryError, match=f"'{tmp_path}'"):
        append_text(tmp_path, "line\n")
