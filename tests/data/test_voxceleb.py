import numpy as np
import pandas as pd
import pytest

from fau_utils.data import voxceleb
from fau_utils.data.layouts import unlabelled as layout
from fau_utils.data.tree import DatasetError
from fau_utils.data.voxceleb import VoxCeleb1, VoxCeleb2

pytest.importorskip("av")


def face(number):
    return np.full((32, 32, 3), (number * 25) % 250, "uint8")


@pytest.fixture
def faces(tmp_path):
    layout.voxceleb1(
        tmp_path,
        {
            "Adam_Driver": {"5r0dWxy17C8": {1: face(1), 25: face(2)}, "-0abc": {1: face(3)}},
            "Robert_Downey_Jr.": {"xyz": {100: face(4)}},
        },
    )
    return tmp_path


def test_people_of_voxceleb1_are_known_by_their_id(faces):
    frames = VoxCeleb1(faces).frames()
    assert frames.subjects == ("voxceleb1/id10001", "voxceleb1/id10002")
    row = frames.table.query("clip == '5r0dWxy17C8' and frame == 25").iloc[0]
    assert (row["camera"], row["gender"], row["set"]) == ("1.6", "m", "test")
    assert row["path"] == "unzippedFaces/Adam_Driver/1.6/5r0dWxy17C8/0000025.jpg"


def test_a_final_dot_that_the_file_system_dropped_is_no_other_person(faces):
    assert (faces / "unzippedFaces" / "Robert_Downey_Jr").is_dir()
    meta = pd.read_csv(faces / "vox1_meta.csv", sep="\t")
    assert "Robert_Downey_Jr" not in set(meta["VGGFace1 ID"])  # the naive join finds nobody
    assert voxceleb.read_meta(faces / "vox1_meta.csv").loc["id10002", "name"] == "Robert_Downey_Jr"


def test_the_metadata_is_separated_by_what_is_there(faces, tmp_path):
    assert pd.read_csv(faces / "vox1_meta.csv").shape[1] == 1  # naive: a csv
    other = tmp_path / "vox2_meta.csv"
    other.write_text("VoxCeleb2 ID ,VGGFace2 ID ,Gender ,Set \nid00012 ,n000012 ,m ,dev \n")
    meta = voxceleb.read_meta(other)
    assert meta.loc["id00012"].to_dict() == {"name": "n000012", "gender": "m", "set": "dev"}


def test_faces_are_served_as_files_of_the_folder(faces):
    source = VoxCeleb1(faces)
    (faces / "unzippedFaces" / "Adam_Driver" / "1.6" / "-0abc" / "0000001.jpg").write_bytes(b"")
    images = dict(source.images())
    assert len(images) == 3
    assert set(images) <= set(source.frames().table["path"])
    assert [s.name for s in source.skipped] == ["unzippedFaces/Adam_Driver/1.6/-0abc/0000001.jpg"]


def test_without_metadata_people_are_called_by_their_folder(faces, caplog):
    (faces / "vox1_meta.csv").unlink()
    assert VoxCeleb1(faces).frames().subjects == ("voxceleb1/Adam_Driver", "voxceleb1/Robert_Downey_Jr")
    assert "no vox1_meta.csv" in caplog.text


def test_a_person_the_metadata_does_not_name_is_an_error(faces):
    layout.folder(faces / "unzippedFaces", [("Nobody/1.6/abc/0000001.jpg", layout.encode(face(1)))])
    with pytest.raises(DatasetError, match="nothing of Nobody"):
        VoxCeleb1(faces).frames()


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [("name\tsex\n", 1, "VoxCeleb1 ID"), ("VoxCeleb1 ID\tVGGFace1 ID\nid10001\tA\nid10001\tB\n", 3, "new id"),
     ("VoxCeleb1 ID\tVGGFace1 ID\nid10001\n", 2, "2 columns")],
)  # fmt: skip
def test_wrong_metadata_is_named(tmp_path, text, line, message):
    path = tmp_path / "vox1_meta.csv"
    path.write_text(text)
    with pytest.raises(DatasetError, match=message) as error:
        voxceleb.read_meta(path)
    assert (error.value.file, error.value.line) == (path, line)


@pytest.fixture
def clips(tmp_path):
    clip = [face(i // 25) for i in range(60)]
    layout.voxceleb2(tmp_path, {"id00012/21Uxsk56VDQ/00001": clip, "id00012/21Uxsk56VDQ/00002": clip[:30]})
    layout.voxceleb2(tmp_path, {"id00013/abc/00001": clip[:10]}, part="test")
    return tmp_path


def test_clips_are_sampled_once_a_second(clips):
    table = VoxCeleb2(clips).frames().table
    grouped = table.groupby(["subject", "clip"])["index"].apply(list).to_dict()
    assert grouped == {
        ("voxceleb2/id00012", "21Uxsk56VDQ/00001"): [0, 25, 50],
        ("voxceleb2/id00012", "21Uxsk56VDQ/00002"): [0, 25],
        ("voxceleb2/id00013", "abc/00001"): [0],
    }
    assert len(VoxCeleb2(clips, per_second=5).frames()) == 12 + 6 + 2


def test_sampled_frames_are_the_ones_listed(clips):
    images = list(VoxCeleb2(clips).images())
    assert [name.rsplit("/", 1)[1] for name, _ in images] == ["0", "25", "50", "0", "25", "0"]
    assert [round(image.mean() / 25) for _, image in images] == [0, 1, 2, 0, 1, 0]


def test_a_broken_clip_is_listed_and_the_rest_goes_on(clips):
    broken = clips / "dev" / "mp4" / "id00012" / "21Uxsk56VDQ" / "00002.mp4"
    broken.write_bytes(broken.read_bytes()[:500])
    source = VoxCeleb2(clips)
    assert len(source.frames()) == 4
    assert len(list(source.images())) == 4
    assert [s.name for s in source.skipped] == ["dev/mp4/id00012/21Uxsk56VDQ/00002.mp4"]
    assert "truncated" in source.skipped[0].reason


def test_ids_of_the_two_sets_never_meet(clips, faces):
    both = VoxCeleb1(faces).frames(), VoxCeleb2(clips).frames()
    assert not set(both[0].subjects) & set(both[1].subjects)


def test_folders_of_something_else_say_what_is_expected(tmp_path):
    with pytest.raises(DatasetError, match="unzippedFaces"):
        VoxCeleb1(tmp_path).frames()
    with pytest.raises(DatasetError, match="dev/mp4"):
        VoxCeleb2(tmp_path).frames()
    with pytest.raises(ValueError, match="more than 0"):
        VoxCeleb2(tmp_path, per_second=0)
