import numpy as np
import pandas as pd
import pytest

from fau_utils.results import published

HEAD = "method,year,venue,dataset,protocol,au,metric,value,source\n"


@pytest.fixture(scope="module")
def table():
    return published.read()


def written(tmp_path, *lines):
    path = tmp_path / "some.csv"
    path.write_text(HEAD + "\n".join(lines) + "\n")
    return path


def test_every_number_has_a_source_and_is_a_percentage(table):
    assert len(table) > 1400
    assert table["source"].str.len().min() > 5
    assert table["value"].between(0, 100).all()


def test_a_dataset_is_its_whole_name(table):
    assert set(published.select(table, dataset="BP4D").dataset) == {"BP4D"}
    assert set(published.select(table, dataset="BP4D+").dataset) == {"BP4D+"}


def test_tables_of_the_paper_have_its_numbers(table):
    wide = {}
    for number, dataset in ((2, "BP4D"), (3, "BP4D+"), (4, "DISFA")):
        wide[dataset] = published.by_au(published.select(table, paper="2407.11243", number=number))
    assert wide["BP4D"].loc["FMAE-IAT (ViT-L)", ["AU1", "AU24", "Avg"]].tolist() == [62.7, 54.7, 67.1]
    assert wide["BP4D+"].loc["FMAE (ViT-L)", "AU4"] == 45.9
    assert wide["DISFA"].columns.tolist()[:8] == ["AU1", "AU2", "AU4", "AU6", "AU9", "AU12", "AU25", "AU26"]
    faces = published.select(table, paper="2407.11243", number=1, metric="accuracy")
    assert faces.set_index(["method", "dataset"]).value["FMAE (ViT-L)", "RAF-DB"] == 93.09


def test_the_gain_on_bp4d_plus_is_that_of_one_au(table):
    wide = published.by_au(published.select(table, paper="2407.11243", number=3)).drop(columns="source")
    gain = wide.loc["FMAE-IAT (ViT-L)"] - wide.loc["FMAE (ViT-L)"]
    assert gain["Avg"] == pytest.approx(0.6)
    assert gain["AU4"] == pytest.approx(8.0)
    assert gain.drop(["AU4", "Avg"]).mean() < 0


def test_what_is_second_hand_can_be_left_out(table):
    everything = published.select(table, dataset="BP4D")
    first_hand = published.select(table, dataset="BP4D", secondary=False)
    assert {"UDCT", "TCAE (user reproduction)", "MCM"} <= set(everything.method)
    assert not {"UDCT", "TCAE (user reproduction)"} & set(first_hand.method)
    assert "FMAE (ViT-L)" in set(first_hand.method)


def test_two_sources_that_disagree_are_both_flagged(tmp_path):
    same = "A,2020,CVPR,BP4D,3-fold"
    path = written(tmp_path, f"{same},1,F1,50.0,one", f"{same},1,F1,50.5,two", f"{same},2,F1,40,one")
    found = published.read(path)
    assert found.inconsistent.tolist() == [True, True, False]
    assert found.remark.tolist() == ["sources have 50 to 50.5"] * 2 + [""]


def test_other_datasets_and_protocols_are_no_disagreement(tmp_path):
    path = written(
        tmp_path, "A,2020,CVPR,BP4D,3-fold,1,F1,50,x", "A,2020,CVPR,DISFA,3-fold,1,F1,40,x", "A,,,BP4D,,1,F1,30,x"
    )
    assert not published.read(path).inconsistent.any()


def test_a_mean_that_is_not_one_is_flagged_and_rounding_is_not(tmp_path):
    rows = [
        f"{name},2020,CVPR,BP4D,3-fold,{au},F1,{value},x"
        for name, values in {"right": (50, 60, 55.05), "wrong": (50, 60, 56)}.items()
        for au, value in zip(("1", "2", "Avg"), values, strict=True)
    ]
    found = published.read(written(tmp_path, *rows))
    assert found[found.inconsistent].method.tolist() == ["wrong"]
    assert found[found.inconsistent].remark.tolist() == ["the mean of its AUs is 55"]


def test_known_oddities_of_the_tables_are_flagged(table):
    odd = table[table.inconsistent & (table.au == "Avg")].set_index(["method", "dataset"])
    assert "57.41" in odd.loc[("EAC-Net", "DISFA"), "remark"]
    assert {("GPT-4V", "DISFA"), ("MCM", "BP4D")} <= set(odd.index)
    assert ("FMAE-IAT (ViT-L)", "BP4D") not in odd.index


def test_a_number_without_source_or_a_missing_column_is_refused(tmp_path):
    with pytest.raises(ValueError, match="line 3 has no source"):
        published.read(written(tmp_path, "A,2020,x,BP4D,p,1,F1,50,here", "A,2020,x,BP4D,p,2,F1,50,"))
    path = tmp_path / "less.csv"
    path.write_text("method,value\nA,1\n")
    with pytest.raises(ValueError, match=r"'source'.* are missing"):
        published.read(path)


def test_asking_for_nothing_lists_what_there_is(table):
    with pytest.raises(ValueError, match=r"(?s)no published number.*'BP5D'.*BP4D\+"):
        published.select(table, dataset="BP5D")
    with pytest.raises(ValueError, match="one dataset"):
        published.by_au(published.select(table, paper="2407.11243"))


def test_curves_are_those_of_the_figures():
    probe = published.curves("identity probe").pivot(index="epoch", columns="series", values="value")
    assert probe.loc[19].to_dict() == {"with IAT": 27.88, "without IAT": 83.08}
    dynamics = published.curves("learning dynamics")
    best = dynamics.loc[dynamics.groupby("series")["value"].idxmax()].set_index("series")["epoch"]
    assert best.to_dict() == {"with IAT": 15, "without IAT": 3}
    assert dynamics["source"].str.contains("2407.11243").all()
    with pytest.raises(ValueError, match="identity probe"):
        published.curves("figure 9")


def test_a_wide_table_keeps_one_row_for_each_source(table):
    wide = published.by_au(published.select(table, dataset="DISFA"))
    assert (wide.index == "SRERL").sum() == 2
    assert isinstance(wide, pd.DataFrame)
    assert not np.isnan(wide.loc["FMAE (ViT-L)", "Avg"])
