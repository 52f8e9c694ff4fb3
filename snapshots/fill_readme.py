"""Fill the tables of numbers in the Markdown pages from results.json; run in the project's folder.

A table stands between two lines, ``<!-- table: name -->`` and ``<!-- end -->``. Here are the rows
of each. A field such as ``{card_svm_artist[track]}`` names an entry of results.json and one of its
numbers; `shown` says how it is written. What is published elsewhere stands in the rows themselves.
"""

import json
import re
from pathlib import Path

from gtzan_mfcc import augmentation, dataset

PAGES = ("README.md", "snapshots/README.md", "gtzan_mfcc/MODEL_CARD.md")

# Names in a page, and in results.json.
SPLITS = {
    "segments at random": "segment",
    "tracks apart": "track",
    "artists apart": "artist",
    "fault filtered": "fault_filtered",
}
CARDS = {"CNN, 13 MFCCs": "cnn", "SVM, 13 MFCCs": "svm", "MLP, 20 MFCCs": "mlp"}
ON_FEATURES = {
    "ANN, 57 features": "studys_ann",
    "SVM, 57 features": "svm",
    "logistic regression, 57 features": "logistic_regression",
}
CHOSEN = {"best of 24 settings on the validation part": "chosen_on_validation_part"}
ROBUSTNESS = {
    "CNN, no copies": "cnn",
    "CNN, the study's copies": "cnn_study_s_copies",
    "SVM, no copies": "svm",
    "MLP, no copies": "mlp",
    "MLP, `ROBUST` copies": "mlp_robust",
}
# Notebook 7 makes names of results so.
SOUNDS = {name: re.sub(r"\W+", "_", name.lower()) for name in augmentation.DEGRADATIONS}

NOTEBOOK_1 = "[1](notebooks/1_features_ann.ipynb)"
NOTEBOOK_4 = "[4](notebooks/4_cnn_training.ipynb)"
NOTEBOOK_6 = "[6](notebooks/6_leakage.ipynb)"
PEERS = "[benchmark](tests/benchmarks/peers.py)"
TRANSFER = "[published](https://github.com/jordipons/sklearn-audio-transfer-learning)"

# Model, entry of results.json, published accuracy, notebook: the study's, and its split.
STUDY = [
    ("ANN, 57 features", "ann_features", "90 to 92 %", NOTEBOOK_1),
    ("CNN, 13 MFCCs", "cnn_no_augmentation", "69 %", NOTEBOOK_4),
    ("CNN with copies", "cnn_augmented", "94.19 %", NOTEBOOK_4),
]

# By name: the header, and the rows.
TABLES = {
    "results": [
        "model | GTZAN | split | accuracy here | published | notebook or source",
        *(
            f"{model} | {{{entry}[corpus]}} | segments at random | {{{entry}[validation]}} |"
            f" {published} | {notebook}"
            for model, entry, published, notebook in STUDY
        ),
        *(
            f"{model} | {{card_{key}_artist[corpus]}} | artists apart |"
            f" {{card_{key}_artist[track]}} | | {NOTEBOOK_6}"
            for model, key in CARDS.items()
        ),
        "CNN, mel spectrograms | {peers_mel_cnn[corpus]} | artists apart |"
        f" {{peers_mel_cnn[track_accuracy]}} | | {PEERS}",
        *(
            f"{model} | {{features_{key}_{SPLITS[split]}[corpus]}} | {split} |"
            f" {{features_{key}_{SPLITS[split]}[track]}} | | {NOTEBOOK_6}"
            for split in ("artists apart", "fault filtered")
            for model, key in ON_FEATURES.items()
        ),
        f"SVM, MFCCs | 1,000 tracks | fault filtered | | 53.4 % | {TRANSFER}",
        f"SVM, VGGish | 1,000 tracks | fault filtered | | 77.6 % | {TRANSFER}",
    ],
    "speed": [
        "`extract_mfcc` and `predict` | measured on GTZAN",
        "speed relative to the study's code | {extraction_ratio[speed_ratio]} times"
        " ({extraction_ratio[slowest_ratio]} to {extraction_ratio[fastest_ratio]})",
        "size of the result relative to the study's JSON | {extraction_ratio[share_of_bytes]}",
        "time for each track, with 50 and with 1,000 tracks |"
        " {extraction_growth[ms_a_track_at_50]} ms, {extraction_growth[ms_a_track_at_1000]} ms",
        "memory, with 50 tracks, with 1,000, with one file of an hour |"
        " {extraction_growth[peak_mb_at_50]} MB, {extraction_growth[peak_mb_at_1000]} MB,"
        " {extraction_long[hour_file_peak_mb]} MB",
        "`predict`, a song of 3 min and a file of an hour | {prediction_benchmark[mp3_seconds]} s,"
        " {prediction_benchmark[hour_seconds]} s",
    ],
    "ann": [
        "segments at random, 75/25 | the study, 1,000 tracks | here, {ann_features[corpus]}",
        "test accuracy | 90 to 92 % | {ann_features[validation]}",
        "training accuracy | | {ann_features[training_accuracy]}",
    ],
    "copies": [
        "from the original segment to | median distance",
        "its louder copy | {augmentation[median_distance_random_gain]}",
        "its copy at a lower pitch | {augmentation[median_distance_pitch_scale]}",
        "the next segment of the track | {augmentation[median_distance_next_segment]}",
        "its copy with noise | {augmentation[median_distance_white_noise]}",
        "a segment of another track | {augmentation[median_distance_segment_of_another_track]}",
    ],
    "cnn": [
        "CNN on 13 MFCCs | split, 80/20 | the study, 1,000 tracks | here, {cnn_augmented[corpus]}",
        "parameters | | 1,137,162 | {cnn_augmented[parameters]}",
        "no copies, validation | segments at random | 69 % | {cnn_no_augmentation[validation]}",
        "with copies, validation | segments at random | 94.19 % | {cnn_augmented[validation]}",
        "with copies, training | segments at random | 97.02 % | {cnn_augmented[training_accuracy]}",
        "with copies, validation, mean of three seeds | segments at random | |"
        " {cnn_augmented_seeds[validation_mean]}"
        " (least and greatest: {cnn_augmented_seeds[validation_least_and_greatest]})",
        "with copies, original segments of the validation part | segments at random | |"
        " {cnn_augmented_originals[validation]}",
        "with copies, original segments of the validation part | tracks apart | |"
        " {cnn_augmented_track_split[validation]}",
    ],
    "leak": [
        "of the study's split | share",
        "validation rows with a copy of the same segment in training |"
        " {leak_of_the_study[copy_of_same_segment_in_training]}",
        "validation rows with something of the same track in training |"
        " {leak_of_the_study[same_track_in_training]}",
        "right, tracks of the training part, cut as in training |"
        " {cnn_cut_elsewhere[cut_as_in_training]}",
        "right, the same tracks, cut 1.5 s later | {cnn_cut_elsewhere[cut_between]}",
        "right, tracks that another CNN was not trained on |"
        " {cnn_cut_elsewhere[unheard_cut_as_in_training]}",
        "right, the same tracks, cut 1.5 s later | {cnn_cut_elsewhere[unheard_cut_between]}",
    ],
    "splits": [
        f"{{card_cnn_artist[corpus]}} | {' | '.join(CARDS)}",
        *(
            f"{name} | "
            + " | ".join(f"{{card_{model}_{split}[track]}}" for model in CARDS.values())
            for name, split in (
                SPLITS | {"the leak: first minus third row": "leak"}
            ).items()
        ),
    ],
    "differences": [
        "artists apart | difference in accuracy by track",
        "SVM minus CNN | {artist_svm_minus_cnn[difference]} ({artist_svm_minus_cnn[interval]})",
        "MLP minus CNN | {artist_mlp_minus_cnn[difference]} ({artist_mlp_minus_cnn[interval]})",
        "MLP minus SVM | {artist_mlp_minus_svm[difference]} ({artist_mlp_minus_svm[interval]})",
    ],
    "features": [
        "all 1,000 tracks | tracks at random | artists apart | fault filtered | first minus second",
        *(
            f"{name} | {{features_{key}_segment[track]}} | {{features_{key}_artist[track]}} |"
            f" {{features_{key}_fault_filtered[track]}} | {{features_{key}_leak[track]}}"
            for name, key in (ON_FEATURES | CHOSEN).items()
        ),
    ],
    "peers": [
        "artists apart, {peers_cnn[corpus]} | accuracy by track | parameters | training time",
        "CNN on mel spectrograms | {peers_mel_cnn[track_accuracy]} | {peers_parameters[mel_cnn]} |"
        " {peers_mel_cnn[training_ratio]}",
        "the study's CNN | {peers_cnn[track_accuracy]} | {peers_parameters[cnn]} |"
        " {peers_cnn[training_ratio]}",
        "SVM | {peers_svm[track_accuracy]} | | {peers_svm[training_ratio]}",
        "MLP | {peers_mlp[track_accuracy]} | {peers_parameters[mlp]} | {peers_mlp[training_ratio]}",
    ],
    "robustness": [
        "artists apart, {robustness_mlp[corpus]} | clean | mean of clean and ten degradations",
        *(
            f"{name} | {{robustness_{key}[original]}} ({{robustness_{key}[original_interval]}}) |"
            f" {{robustness_{key}[mean]}}"
            for name, key in ROBUSTNESS.items()
        ),
    ],
    "pretrained": [
        "artists apart, {pretrained[corpus]} | share",
        "accuracy by track | {pretrained[track]}",
        "the same, whole tracks only | {pretrained[whole_track_accuracy]}",
        "balanced accuracy: each genre counts the same | {pretrained[balanced_accuracy]}",
        "right genre among the first three | {pretrained[among_first_three]}",
        "accuracy of always saying the most frequent genre | {pretrained[majority]}",
        "tracks that get a probability above nine tenths | {pretrained[share_above_90]}",
        "of these, right | {pretrained[right_when_above_90]}",
    ],
    "genres": [
        "genre | tracks that are found",
        *(f"{genre} | {{pretrained[recall_{genre}]}}" for genre in dataset.GENRES),
    ],
    "degradations": [
        "sound | accuracy by track | lost",
        *(
            f"{name} | {{pretrained[on_{key}]}} | {{pretrained[lost_{key}]}}"
            for name, key in ({"clean": "original"} | SOUNDS).items()
        ),
    ],
}


def fill_in(text: str, results: dict) -> str:
    """Write the tables of a page; a table, entry or number that does not exist is a KeyError."""
    numbers = {name: shown(entry) for name, entry in results.items()}

    def table(match: re.Match) -> str:
        header, *rows = TABLES[match[1]]
        lines = [header, " | ".join(["---"] * len(header.split("|"))), *rows]
        filled = "\n".join(f"| {line} |" for line in lines).format(**numbers)
        return f"<!-- table: {match[1]} -->\n\n{filled}\n\n<!-- end -->"

    return re.sub(r"<!-- table: (\w+) -->.*?<!-- end -->", table, text, flags=re.DOTALL)


def shown(entry: dict) -> dict[str, str]:
    """Write the numbers of an entry as they stand in a table.

    ``track`` and ``validation`` are accuracies with their interval in brackets.
    """
    cells = {key: number(key, value) for key, value in entry["results"].items()}
    for key in ("track", "validation"):
        if f"{key}_interval" in cells:
            cells[key] = f"{cells[f'{key}_accuracy']} ({cells[f'{key}_interval']})"
    corpus = "1,000 tracks" if entry["corpus"] == "GTZAN" else entry["corpus"]
    return cells | {
        "corpus": corpus.removeprefix("GTZAN, ").replace(" of its 1,000", "")
    }


def number(key: str, value: float | list[float]) -> str:
    """Write counts with commas, ratios, times and distances short, and shares in percent."""
    if isinstance(value, int):
        return f"{value:,}"
    if key.endswith(("ratio", "seconds")) or "distance" in key:
        return f"{float(f'{value:.2g}'):g}"
    if isinstance(value, list):
        return f"{100 * value[0]:.1f} to {100 * value[-1]:.1f} %"
    return f"{100 * value:.1f} %"


if __name__ == "__main__":
    results = json.loads(Path("snapshots/results.json").read_text(encoding="utf-8"))
    for page in map(Path, PAGES):
        page.write_text(
            fill_in(page.read_text(encoding="utf-8"), results), encoding="utf-8"
        )
