import dataclasses
import importlib
import io
import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fau_utils import cli
from fau_utils.data import bp4d, expected, layouts
from fau_utils.data.check import check, compare
from fau_utils.data.expected import BP4D, DISFA, EXPECTED, FrameList
from fau_utils.data.folds import partition
from fau_utils.data.layouts import footage
from fau_utils.data.layouts.drawing import plain
from fau_utils.data.tree import DatasetError
from fau_utils.data.video import write
from fau_utils.frames import Frames


def disfa(keep=lambda subject, frame: True, *, pictures=True):
    """A table with exactly the published number of frames and positives of every fold."""
    parts = []
    for part in partition("disfa-3"):
        rows = [(s, n) for s in part.subjects for n in range(1, DISFA.per_subject[s] + 1)]
        table = pd.DataFrame(rows, columns=["subject", "frame"])
        for au in DISFA.aus:
            positives = round(DISFA.rates[part.part].get(au, 0) / 100 * len(rows))
            table[f"AU{au}"] = np.where(np.arange(len(rows)) < positives, 2, 1)
        parts.append(table)
    table = pd.concat(parts, ignore_index=True).assign(dataset="disfa", clip="video")
    kept = [keep(s, n) for s, n in zip(table["subject"], table["frame"], strict=True)]
    table["path"] = "video.avi" if pictures is True else pd.Series(np.where(kept, "video.avi", None))
    return Frames(table if pictures == "kept" else table[kept], scale="intensity")


def found(findings, what):
    rows = [f for f in findings if f.what.startswith(what)]
    assert rows, what
    return rows


@pytest.fixture(scope="module")
def whole():
    return compare(disfa(), DISFA)


def test_a_complete_disfa_agrees_in_every_count(whole):
    findings, lists = whole
    assert [f for f in findings if f.status == "differs"] == []
    assert found(findings, "coded frames")[0].found == 130_814
    assert (lists[0].name, lists[0].matches) == ("megraph", "labels and pictures")
    assert [m.name for m in lists if m.matches] == ["megraph"]


def test_published_rates_and_class_weights_are_checked_where_the_frames_are_theirs(whole):
    findings, _ = whole
    assert len(found(findings, "AU1 in P")) == 3
    weights = found(findings, "class weights")
    assert len(weights) == 3
    assert {f.status for f in weights} == {"agrees"}
    assert not [f for f in findings if " in all" in f.what]  # counted on another list, of 130,311 frames


def test_labels_of_the_next_column_are_noticed_by_their_rates():
    frames = disfa()
    shifted = frames.table.assign(AU1=frames.table["AU4"], AU4=frames.table["AU1"])
    findings, _ = compare(Frames(shifted, scale="intensity"), DISFA)
    wrong = {f.what for f in findings if f.status == "differs"}
    assert {"AU1 in P1, % positive", "AU4 in P1, % positive"} <= wrong
    assert not any(name.startswith("AU2 ") for name in wrong)


def jaa(subject, frame):
    """126,144 frames; whose the other 742 missing ones are, nobody says, so here they are SN001's."""
    kept = {"disfa/SN021": 1793, "disfa/SN023": 4845 - 422, "disfa/SN029": 4845 - 454, "disfa/SN001": 4845 - 742}
    return frame <= kept.get(subject, 4845)


def test_the_published_list_is_named_that_pictures_and_labels_match():
    findings, lists = compare(disfa(jaa), DISFA)
    assert (lists[0].name, lists[0].matches) == ("jaa", "labels and pictures")
    assert found(findings, "frames of disfa/SN021")[0].found == 1793
    _, lists = compare(disfa(jaa, pictures="kept"), DISFA)
    assert {m.name: m.matches for m in lists if m.matches} == {"megraph": "labels", "jaa": "pictures"}


def test_two_cameras_are_one_set_of_coded_frames():
    table = disfa(lambda s, n: n <= 20).table
    both = Frames(pd.concat([table.assign(camera="left"), table.assign(camera="right")]), scale="intensity")
    findings, _ = compare(both, DISFA)
    assert found(findings, "coded frames")[0].found == 27 * 20


def picture(colour):
    out = io.BytesIO()
    Image.new("RGB", (16, 16), colour).save(out, "JPEG")
    return out.getvalue()


def tree(root, *, people=("F001", "M001"), tasks=("T1", "T2"), frames=range(5, 12)):
    """BP4D's image release in small: the real names, header and codes."""
    header = [0, *range(1, 40), 100]  # the last column is the occlusion flag
    for person in people:
        for task in tasks:
            rows = [[n, *([0, 1, 0, 9] * 10)[:39], 0] for n in frames]
            label = root / "AUCoding" / "AU_OCC" / f"{person}_{task}.csv"
            label.parent.mkdir(parents=True, exist_ok=True)
            label.write_text("\n".join(",".join(map(str, line)) for line in [header, *rows]) + "\n")
            folder = root / "BP4D-training" / person / task
            folder.mkdir(parents=True)
            for n in frames:
                (folder / f"{n:04d}.jpg").write_bytes(picture((n, 0, 0)))
    return root


def test_a_part_of_a_dataset_is_counted_without_failing(tmp_path):
    report = check("bp4d", tree(tmp_path))
    counted = {f.what: (f.found, f.status) for f in report.findings}
    assert counted["people"] == (2, "differs")
    assert counted["coded frames"] == (28, "differs")
    assert counted["frames of T1"] == (14, "differs")
    assert counted["sequences with gaps"] == (0, "agrees")
    assert counted["labels of AU4 not coded"] == (28, "noted")
    assert "no 39 of them: bp4d/F002" in report.missing[0].found
    assert report.damage == ()
    assert report.exit_code == 0
    assert check("bp4d", tmp_path, strict=True).exit_code == 3


def test_missing_pictures_are_listed_by_sequence_and_do_not_fail(tmp_path):
    root = tree(tmp_path)
    for n in (6, 8):
        (root / "BP4D-training" / "M001" / "T2" / f"{n:04d}.jpg").unlink()
    report = check("bp4d", root)
    assert any("none of 2: bp4d/M001/T2 2" in trouble.found for trouble in report.missing)
    assert [t.line for t in report.missing if "picture" in t.expected] == [3]  # once, with the place the reader names
    assert report.lists[0].pictured == 26
    assert report.exit_code == 0


def test_a_damaged_label_file_fails_and_is_named_with_its_line(tmp_path):
    root = tree(tmp_path)
    path = root / "AUCoding" / "AU_OCC" / "F001_T2.csv"
    lines = path.read_text().splitlines()
    lines[3] = lines[3].replace(",1,", ",7,", 1)
    path.write_text("\n".join(lines) + "\n")
    report = check("bp4d", root)
    assert report.exit_code == 1
    assert report.damage[0].file.endswith("F001_T2.csv")
    assert report.damage[0].line == 4
    assert report.damage[0].hint


@pytest.mark.parametrize(
    "content", [b"", b"not a picture", picture((1, 2, 3))[:60]], ids=["empty", "text", "cut short"]
)
def test_a_picture_that_cannot_be_opened_is_damage(tmp_path, content):
    root = tree(tmp_path)
    (root / "BP4D-training" / "F001" / "T1" / "0007.jpg").write_bytes(content)
    report = check("bp4d", root)
    assert report.exit_code == 1
    assert [trouble.file for trouble in report.damage] == ["BP4D-training/F001/T1/0007.jpg"]
    assert check("bp4d", root, open_pictures=0).exit_code == 0


def test_a_gap_in_a_sequence_is_counted(tmp_path):
    report = check("bp4d", tree(tmp_path, frames=(1, 2, 3, 7, 8)))
    assert [(f.found, f.status) for f in report.findings if f.what == "sequences with gaps"] == [(4, "differs")]


def test_the_report_is_plain_data_and_a_table_for_people(tmp_path):
    from rich.console import Console

    report = check("bp4d", tree(tmp_path))
    read_back = json.loads(json.dumps(report.as_dict(), allow_nan=False))
    assert read_back["exit_code"] == 0
    assert read_back["findings"][0] == {
        "what": "people",
        "found": 2,
        "expected": 41,
        "status": "differs",
        "source": BP4D.source,
    }
    assert {m["name"] for m in read_back["lists"]} == {m.name for m in BP4D.lists}
    console = Console(file=io.StringIO(), width=200)
    console.print(report.render())
    text = console.file.getvalue()
    assert "146,847" in text
    assert "published folds need everybody" in text


def test_wrong_usage_is_no_damage(tmp_path):
    with pytest.raises(ValueError, match="expected one of"):
        check("bp5d", tmp_path)
    with pytest.raises(ValueError, match="no folder"):
        check("bp4d", tmp_path / "nowhere")


def test_the_command_prints_json_and_its_exit_code_says_how_bad_it_is(tmp_path, capsys):
    root = tree(tmp_path)
    assert cli.main(["check", "bp4d", str(root), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["dataset"] == "bp4d"
    assert cli.main(["check", "bp4d", str(root), "--strict"]) == 3
    assert "146,847" in capsys.readouterr().out
    (root / "BP4D-training" / "F001" / "T1" / "0005.jpg").write_bytes(b"")
    assert cli.main(["check", "bp4d", str(root)]) == 1
    for words in (["bp5d", str(root)], ["bp4d", str(root / "no")], ["bp4d", str(root), "--set", "camera=right"]):
        capsys.readouterr()
        assert cli.main(["check", *words]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1


def test_reader_options_are_passed_on_and_a_reader_that_fails_twice_is_damage(tmp_path):
    asked = []

    def reader(root, *, camera="left", allow_missing=False):
        asked.append((camera, allow_missing))
        raise DatasetError("x.txt", line=3, expected="a", found="b", hint="c")

    report = check("disfa", tmp_path, reader=reader, camera="right")
    assert asked == [("right", False), ("right", True)]
    assert (report.damage[0].file, report.damage[0].line, report.exit_code) == ("x.txt", 3, 1)


def test_every_dataset_with_expectations_has_a_reader_and_a_source():
    assert bp4d.DATASET in EXPECTED
    for dataset, known in EXPECTED.items():
        assert hasattr(__import__(f"fau_utils.data.{dataset}", fromlist=["read"]), "read")
        assert known.source
        assert all(entry.source for entry in known.lists)
        assert all(isinstance(entry, FrameList) for entry in known.lists)


def test_expectations_agree_with_the_readers_lists_of_people_and_aus():
    from fau_utils.data import disfa as disfa_reader

    assert set(BP4D.aus) <= set(bp4d.CODED)
    assert len(bp4d.SUBJECTS) == BP4D.subjects
    assert {f"disfa/{s}" for s in disfa_reader.SUBJECTS} == set(DISFA.per_subject)
    assert dataclasses.asdict(expected.DISFA)["aus"] == disfa_reader.AUS


def test_what_is_missing_beside_pictures_is_listed_beside_them(tmp_path):
    root = tree(tmp_path)
    (root / "BP4D-training" / "M001" / "T2" / "0006.jpg").unlink()
    (root / "AUCoding" / "AU_OCC" / "F001_T1.csv").unlink()
    said = [t.expected for t in check("bp4d", root).missing]
    assert [text.split(" of ")[0] for text in said] == ["labels", "a picture", "41 people"]


def gft(root):
    header = "frame," + ",".join(f"AU{n}" for n in EXPECTED["gft"].aus)
    (root / "001A.csv").write_text("\n".join([header, *(f"{n}{',0' * 10}" for n in (1, 2, 3))]) + "\n")
    write(root / "001A.mp4", [np.zeros((16, 16, 3), "uint8")] * 3, codec="mpeg4")


SMALL = {"subjects": 1, "frames": 8, "res": 32, "film": footage.numbered}
WRONG = {  # dataset: layout, its options, the reader's, and a label file, its separator, and a place that becomes "7"
    "bp4d": ("bp4d", {**SMALL, "tasks": 1}, {}, "AUCoding/AU_OCC/F001_T1.csv", ",", 12),
    "bp4dplus": ("bp4d+", {**SMALL, "tasks": 1}, {}, "AUCoding/AU_OCC/F001_T1.csv", ",", 10),
    "disfa": ("disfa", SMALL, {}, "ActionUnit_Labels/SN001/SN001_au12.txt", ",", 1),
    "disfaplus": ("disfa+", {**SMALL, "trials": 1}, {}, "DISFAPlusDataset/Labels/*/*/AU12.txt", None, 1),
    "gft": (None, {}, {}, "001A.csv", ",", 6),
    "emotionet": (
        "emotionet",
        {"part": "lists", "draw": plain},
        {"part": "lists"},
        "*_aws/dataFile_0001.txt",
        "\t",
        13,
    ),
    "affwild2": ("affwild2", {"draw": plain}, {}, "*/AU_Detection_Challenge/Train_Set/video1.txt", ",", 6),
}


@pytest.mark.parametrize("dataset", EXPECTED)
def test_a_wrong_file_in_a_tree_is_named_with_line_and_what_was_expected(tmp_path, capsys, dataset):
    layout, options, asked, pattern, separator, place = WRONG[dataset]
    gft(tmp_path) if layout is None else layouts.export(layout, tmp_path, **options)
    (path,) = tmp_path.glob(pattern)
    lines = path.read_text().splitlines()
    cells = lines[3].split(separator)
    cells[place] = "7"
    path.write_text("\n".join([*lines[:3], (separator or " ").join(cells), *lines[4:]]) + "\n")
    words = [word for name, value in asked.items() for word in ("--set", f"{name}={value}")]
    assert cli.main(["check", dataset, str(tmp_path), "--json", *words]) == 1
    (damage,) = json.loads(capsys.readouterr().out)["damage"]
    assert (damage["file"], damage["line"]) == (str(path), 4)
    assert damage["found"].removeprefix("'").startswith("7")
    assert "0" in damage["expected"]
    assert "AU12" in damage["expected"] + damage["found"]
    assert damage["hint"]


@pytest.mark.parametrize("dataset", ["emotionet", "affwild2"])
def test_an_exported_layout_is_incomplete_and_not_damaged(tmp_path, dataset):
    importlib.import_module(f"fau_utils.data.layouts.{dataset}").export(tmp_path / "tree", draw=plain)
    report = check(dataset, tmp_path / "tree")
    assert report.exit_code == 0
    assert report.damage == ()
    assert {f.what for f in report.findings if f.status == "noted"} >= {"people", "coded sequences"}
    # Aff-Wild2's frames without a face are in no list, EmotioNet's lists name images that are gone
    assert bool(report.missing) == (dataset == "emotionet")
