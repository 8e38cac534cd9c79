import nbformat
import tree

from fau_utils.book import chapters, pairing


def _first(tmp_path):
    return chapters.read(tree.make(tmp_path / "p") / "notebooks" / "00_tour.py")


def test_the_pair_is_the_same_bytes_each_time_and_valid(tmp_path):
    chapter = _first(tmp_path)
    assert pairing.paired_text(chapter) == pairing.paired_text(chapter)
    node = nbformat.reads(pairing.paired_text(chapter), as_version=4)
    nbformat.validate(node)
    assert node.metadata.kernelspec.name == "python3"
    assert node.metadata.fau.part == "First steps"


def test_drift_is_seen_and_mended(tmp_path):
    chapter = _first(tmp_path)
    assert not pairing.in_step(chapter)
    assert pairing.pair(chapter) == chapter.notebook
    assert pairing.in_step(chapter)
    assert pairing.pair(chapter) is None
    chapter.notebook.write_text(chapter.notebook.read_text().replace("size=20", "size=21"))
    assert not pairing.in_step(chapter)


def test_the_pair_command_writes_and_checks(tmp_path, fau):
    root = tree.make(tmp_path / "p")
    code, said = fau("pair", root, "--check")
    assert code == 1
    assert "run fau pair" in said
    assert not (root / "notebooks" / "00_tour.ipynb").exists()
    assert fau("pair", root)[0] == 0
    assert fau("pair", root, "--check") == (0, "")
