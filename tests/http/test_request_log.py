"""The file of requests: shared, moved away when it is long, and never more than two of it."""

from pathlib import Path

from emporium.http.edge import to_file


def test_a_long_file_makes_place_for_a_new_one(tmp_path: Path) -> None:
    path = tmp_path / "requests.log"
    one, other = to_file(path, most=10), to_file(path, most=10)
    for number in range(7):
        (one if number % 2 else other)(f"{number:04}\n".encode())
    assert path.read_text() == "0006\n"
    assert (tmp_path / "requests.log.1").read_text() == "0004\n0005\n"
    assert len(list(tmp_path.iterdir())) == 2


def test_a_file_that_was_moved_away_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "requests.log"
    write = to_file(path)
    write(b"one\n")
    path.rename(tmp_path / "kept")
    write(b"two\n")
    assert path.read_text() == "two\n"
