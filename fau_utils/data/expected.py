"""What the literature counted: numbers to hold a user's copy of a dataset against.

None of these was checked against licensed data here; each says who counted it. Rates are percent of frames.
"""

from dataclasses import dataclass, field

_ME = "github.com/CVI-SZU/ME-GraphAU @dda53cb lists (= MDHR)"
_JAA = "github.com/ZhiwenShao/PyTorch-JAANet @9a0cedc lists"
_FMAE = "github.com/forever208/FMAE-IAT @e7bff23, log"
_FGNET = "github.com/ihp-lab/FG-Net @e1e61c4 lists"
_BIGSMALL = "github.com/ubicomplab/rPPG-Toolbox, BP4DPlusBigSmallLoader"
_PYFEAT = "py-feat benchmark code"
_LKQ = "github.com/lkq52110/au-recognition lists"
_GENERAL = "generally quoted, no source at hand"


@dataclass(frozen=True)
class FrameList:
    """A published list of frames: some code base's notion of the dataset.

    Attributes
    ----------
    name : str
    frames : int
    source : str
    note : str
        What is left out.
    """

    name: str
    frames: int
    source: str
    note: str = ""


@dataclass(frozen=True)
class Expected:
    """What one dataset should contain.

    Attributes
    ----------
    dataset : str
    subjects : int or None
    sequences : int or None
        Coded clips: a subject's task or video.
    lists : tuple of FrameList
        Published frame lists; the first is the complete one.
    per_clip : dict of str to int
        Frames per task, summed over people.
    per_subject : dict of str to int
        Frames per person where one deviates.
    rates : dict of str to dict of int to float
        Positive rates in percent: group of people (a part of the 3-fold partition, or ``all``) -> AU -> rate.
    rate_frames : dict of str to int
        How many frames each group's rates were counted over.
    weights : dict of str to tuple of float
        Published class weights when this part is tested.
    aus : tuple of int
        AU columns that the label files must have.
    cut : float or None
        Intensity from which the rates count a movement as present.
    source : str
        Of the counts that do not carry their own.
    """

    dataset: str
    subjects: int | None
    sequences: int | None
    lists: tuple[FrameList, ...]
    aus: tuple[int, ...]
    per_clip: dict[str, int] = field(default_factory=dict)
    per_subject: dict[str, int] = field(default_factory=dict)
    rates: dict[str, dict[int, float]] = field(default_factory=dict)
    rate_frames: dict[str, int] = field(default_factory=dict)
    weights: dict[str, tuple[float, ...]] = field(default_factory=dict)
    cut: float | None = None
    source: str = ""


def _row(aus: tuple[int, ...], numbers: str) -> dict[int, float]:
    return dict(zip(aus, map(float, numbers.split()), strict=True))


def _vector(numbers: str) -> tuple[float, ...]:
    return tuple(map(float, numbers.split()))


_BP4D_AUS = (1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24)
_DISFA_AUS = (1, 2, 4, 6, 9, 12, 25, 26)
_DISFA_CODED = (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26)
_EMOTIONET_AUS = (1, 2, 4, 5, 6, 9, 12, 17, 20, 25, 26, 43)

BP4D = Expected(
    dataset="bp4d",
    subjects=41,
    sequences=328,
    lists=(
        FrameList("megraph", 146_847, _ME, "all coded frames; FMAE-IAT's log agrees"),
        FrameList("fmae", 146_654, _FMAE, "193 without a detected face"),
        FrameList(
            "jaa",
            146_576,
            _JAA,
            "271 fewer: F017/T3 131, M003/T7 76, F023/T6 30, M010/T6 16, M009/T4 11, F021/T3 5, M003/T5 2",
        ),
        FrameList("fgnet", 146_423, _FGNET),
        FrameList("fmae, frames with a movement", 133_181, _FMAE, "all-negative frames dropped: F1 is inflated"),
    ),
    aus=_BP4D_AUS,
    per_clip={
        "T1": 20_074,
        "T2": 20_837,
        "T3": 12_821,
        "T4": 20_208,
        "T5": 20_795,
        "T6": 19_553,
        "T7": 20_339,
        "T8": 12_220,
    },
    rates={
        "P1": _row(_BP4D_AUS, "16.44 16.14 19.92 41.59 58.98 57.64 55.85 40.04 15.14 31.76 15.85 13.98"),
        "P2": _row(_BP4D_AUS, "20.37 13.09 19.67 46.45 55.10 55.71 52.18 51.34 19.98 36.62 17.25 15.68"),
        "P3": _row(_BP4D_AUS, "27.15 22.53 21.29 50.63 50.19 65.46 60.97 48.53 15.60 34.64 16.53 15.83"),
        "all": _row(_BP4D_AUS, "21.07 17.03 20.26 46.09 54.93 59.38 56.16 46.61 16.94 34.38 16.52 15.15"),
    },
    rate_frames={"P1": 50_631, "P2": 50_182, "P3": 46_034, "all": 146_423},
    weights={
        "P3": _vector(
            "1.342985 1.689665 1.248091 0.561356 0.433044 0.435894 "
            "0.457287 0.541004 1.408054 0.722762 1.493145 1.666711"
        ),
        "P2": _vector(
            "1.191051 1.337315 1.246995 0.558933 0.468168 0.418041 "
            "0.440099 0.581900 1.670360 0.774237 1.586367 1.726535"
        ),
        "P1": _vector(
            "1.132895 1.519623 1.308560 0.552098 0.507140 0.443118 "
            "0.474432 0.535111 1.496040 0.749851 1.582501 1.698632"
        ),
    },
    source=_ME,
)

BP4DPLUS = Expected(
    dataset="bp4dplus",
    subjects=140,
    sequences=560,
    lists=(
        FrameList("fmae, coded", 197_756, _FMAE, "before face detection"),
        FrameList("fmae", 197_629, _FMAE, "127 without a detected face"),
        FrameList("usual quotation", 197_875, _GENERAL),
        FrameList("fmae, frames with a movement", 167_109, _FMAE, "all-negative frames dropped: F1 is inflated"),
    ),
    aus=_BP4D_AUS,
    source=f"{_BIGSMALL} (tasks T1, T6, T7, T8 are coded); 560 files is 140 x 4, not counted by anybody",
)

DISFA = Expected(
    dataset="disfa",
    subjects=27,
    sequences=27,
    lists=(
        FrameList("megraph", 130_814, _ME, "all frames; FMAE-IAT's log agrees"),
        FrameList("fmae", 130_809, _FMAE, "5 without a detected face"),
        FrameList("fgnet", 130_311, _FGNET, "SN029 has 4,413, SN009 4,789, SN023 4,833"),
        FrameList("jaa", 126_144, _JAA, "4,670 fewer: SN021 keeps 1,793; SN023 lacks 422, SN029 454; AU-Net's too"),
    ),
    aus=_DISFA_CODED,
    per_subject={
        f"disfa/SN{number:03d}": 4_844 if number == 10 else 4_845
        for number in range(1, 33)
        if number not in (14, 15, 19, 20, 22)
    },
    rates={
        "P1": _row(_DISFA_AUS, "4.22 2.58 11.74 5.41 2.79 10.33 24.88 11.24"),
        "P2": _row(_DISFA_AUS, "3.37 2.02 15.26 8.16 2.95 14.19 30.29 9.46"),
        "P3": _row(_DISFA_AUS, "7.33 8.35 18.72 10.11 6.81 14.13 27.96 5.75"),
        "all": _row(_DISFA_AUS, "4.98 4.01 15.03 7.91 4.20 12.89 27.80 8.85"),
    },
    rate_frames={"P1": 43_604, "P2": 43_605, "P3": 43_605, "all": 130_311},
    weights={
        "P3": _vector("1.422290 2.347771 0.399672 0.795021 1.878217 0.440125 0.195583 0.521322"),
        "P2": _vector("1.390215 1.469573 0.527298 1.034498 1.672842 0.656650 0.303915 0.945009"),
        "P1": _vector("1.510590 1.560063 0.475896 0.884891 1.656857 0.570937 0.277589 1.063177"),
    },
    cut=2.0,
    source=_ME,
)

DISFAPLUS = Expected(
    dataset="disfaplus",
    subjects=9,
    sequences=None,
    lists=(FrameList("py-feat", 57_150, _PYFEAT),),
    aus=_DISFA_CODED,
    cut=2.0,
    source=_PYFEAT,
)

GFT = Expected(
    dataset="gft",
    subjects=96,
    sequences=None,
    lists=(FrameList("dataset's abstract", 172_800, "osf.io/7wcyz; uncodable frames included"),),
    aus=(1, 2, 4, 6, 10, 12, 14, 15, 23, 24),
    source="osf.io/7wcyz",
)

EMOTIONET = Expected(
    dataset="emotionet",
    subjects=None,
    sequences=None,
    lists=(
        FrameList("manual set", 24_600, "emotionet_facs_24600.xlsx"),
        FrameList("manual set, au-recognition", 24_598, _LKQ),
        FrameList("automatic set", 950_000, "dataset's description; annotated by an algorithm"),
    ),
    aus=_EMOTIONET_AUS,
    rates={"all": _row(_EMOTIONET_AUS, "5.90 2.80 11.59 3.54 18.56 2.05 30.64 2.00 0.54 47.02 8.35 2.71")},
    rate_frames={"all": 24_598},
    source=_LKQ,
)

AFFWILD2 = Expected(
    dataset="affwild2",
    subjects=None,
    sequences=None,
    lists=(),
    aus=(1, 2, 4, 6, 7, 10, 12, 15, 23, 24, 25, 26),
    source="541 to 548 videos, depending on the release; no frame count found",
)

EXPECTED: dict[str, Expected] = {
    entry.dataset: entry for entry in (BP4D, BP4DPLUS, DISFA, DISFAPLUS, GFT, EMOTIONET, AFFWILD2)
}
"""Everything above, by dataset."""
