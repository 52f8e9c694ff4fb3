"""Fill the tables of numbers in the Markdown pages; run in the project's folder.

A table stands between two lines, ``<!-- table: name -->`` and ``<!-- end -->``. Below are the header
and the rows of each. A field such as ``{card_svm_artist[track]}`` names an entry of results.json and
one of its numbers; `shown` says how it is written. What others published stands in the rows.
"""

import json
import re
from pathlib import Path

PAGES = ("README.md", "snapshots/README.md", "gtzan_mfcc/MODEL_CARD.md")

DIFFERENCES = ("difference", "gain", "minus", "recordings", "artists")
"""What the names of differences of accuracies contain."""

TABLES = {
    "results": [
        "model | GTZAN | split | accuracy here | balanced | published | notebook or source",
        "ANN, 57 features | {ann_features[corpus]} | segments at random | {ann_features[validation]} |  | 90 to 92 % | 1",
        "CNN, 13 MFCCs | {cnn_no_augmentation_seeds[corpus]} | segments at random | {cnn_no_augmentation_seeds[validation_mean]} ({cnn_no_augmentation_seeds[validation_least_and_greatest]}) |  | 69 % | 4",
        "CNN, augmented copies | {cnn_augmented_seeds[corpus]} | segments at random | {cnn_augmented_seeds[validation_mean]} ({cnn_augmented_seeds[validation_least_and_greatest]}) |  | 94.19 % | 4",
        "CNN, 13 MFCCs | {card_cnn_artist[corpus]} | artist-disjoint | {card_cnn_artist[track]} | {card_cnn_artist[balanced_accuracy]} |  | 6",
        "SVM, 13 MFCCs | {card_svm_artist[corpus]} | artist-disjoint | {card_svm_artist[track]} | {card_svm_artist[balanced_accuracy]} |  | 6",
        "MLP, 20 MFCCs | {card_mlp_artist[corpus]} | artist-disjoint | {card_mlp_artist[track]} | {card_mlp_artist[balanced_accuracy]} |  | 6",
        "SVM, features of musicnn (MSD) | {peers_svm_musicnn_msd[corpus]} | artist-disjoint | {peers_svm_musicnn_msd[track]} | {peers_svm_musicnn_msd[balanced_accuracy]} |  | A",
        "always the most frequent genre | {card_cnn_artist[corpus]} | artist-disjoint | {card_cnn_artist[majority]} | |  | 6",
        "ANN, 57 features | {features_studys_ann_artist[corpus]} | artist-disjoint | {features_studys_ann_artist[track]} | {features_studys_ann_artist[balanced_accuracy]} |  | A",
        "ANN, 57 features | {features_studys_ann_fault_filtered[corpus]} | fault filtered | {features_studys_ann_fault_filtered[track]} | {features_studys_ann_fault_filtered[balanced_accuracy]} |  | A",
        "SVM, MFCCs | 1,000 tracks | fault filtered |  |  | 53.4 % | [arXiv](https://arxiv.org/abs/1805.00237)",
        "SVM, VGGish | 1,000 tracks | fault filtered |  |  | 77.6 % | [repository](https://github.com/jordipons/sklearn-audio-transfer-learning)",
        "the model of the package | {outside_mlp_robust[corpus]} | songs outside GTZAN | {outside_mlp_robust[track]} | {outside_mlp_robust[balanced_accuracy]} |  | 9",
    ],
    "speed": [
        "`extract_mfcc` and `predict` | on GTZAN",
        "speed relative to the study's code | {extraction_ratio[speed_ratio]} times ({extraction_ratio[slowest_ratio]} to {extraction_ratio[fastest_ratio]})",
        "a track on one core; of that, decoding; Fourier transforms, resampling, random numbers | {extraction_floor[all_core_ms]} ms; {extraction_floor[decoding_core_ms]} ms; {extraction_floor[transforms_core_ms]} ms",
        "memory with 1,000 tracks (493, repeated); with a file of an hour | {extraction_growth[peak_mb_at_1000]} MB, {extraction_long[hour_file_peak_mb]} MB",
        "`predict`, a song of 3 min and a file of an hour | {prediction_benchmark[mp3_seconds]} s, {prediction_benchmark[hour_seconds]} s",
        "the command for a song of 3 min; the import of TensorFlow alone | {prediction_benchmark[command_seconds]} s; {prediction_benchmark[keras_seconds]} s",
        "`make snapshots` from nothing, and again | {snapshots_benchmark[from_nothing_minutes]} min, {snapshots_benchmark[again_minutes]} min",
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
        "a segment of another track of the same genre | {augmentation[median_distance_another_track_same_genre]}",
        "a segment of another track of any genre | {augmentation[median_distance_another_track_any_genre]}",
    ],
    "cnn": [
        "CNN on 13 MFCCs | split, 80/20 | the study, 1,000 tracks | here, {cnn_augmented[corpus]}",
        "parameters | | 1,137,162 | {cnn_augmented[parameters]}",
        "no copies, validation | segments at random | 69 % | {cnn_no_augmentation_seeds[validation_mean]} ({cnn_no_augmentation_seeds[validation_least_and_greatest]})",
        "with copies, validation | segments at random | 94.19 % | {cnn_augmented_seeds[validation_mean]} ({cnn_augmented_seeds[validation_least_and_greatest]})",
        "with copies, training | segments at random | 97.02 % | {cnn_augmented_seeds[training_mean]}",
    ],
    "copies_by_split": [
        "accuracy on original segments, {copies_by_split[corpus]} | no copies | with copies | gain in points",
        "segments at random | {copies_by_split[no_copies_segments_at_random_mean]} ({copies_by_split[no_copies_segments_at_random_lowest]} to {copies_by_split[no_copies_segments_at_random_highest]}) | {copies_by_split[with_copies_segments_at_random_mean]} ({copies_by_split[with_copies_segments_at_random_lowest]} to {copies_by_split[with_copies_segments_at_random_highest]}) | {copies_by_split[gain_segments_at_random]}",
        "grouped by track | {copies_by_split[no_copies_grouped_by_track_mean]} ({copies_by_split[no_copies_grouped_by_track_lowest]} to {copies_by_split[no_copies_grouped_by_track_highest]}) | {copies_by_split[with_copies_grouped_by_track_mean]} ({copies_by_split[with_copies_grouped_by_track_lowest]} to {copies_by_split[with_copies_grouped_by_track_highest]}) | {copies_by_split[gain_grouped_by_track]} ({copies_by_split[gain_grouped_by_track_interval]})",
    ],
    "leak": [
        "of the study's split | share",
        "validation rows with a copy of the same segment in training | {leak_of_the_study[copy_of_same_segment_in_training]}",
        "validation rows with something of the same track in training | {leak_of_the_study[same_track_in_training]}",
    ],
    "cuts": [
        "accuracy on segments, {cnn_cut_elsewhere[corpus]} | cut as in training | cut 1.5 s later | later minus as in training, in points",
        "A: segments at random, tracks with segments in training | {cnn_cut_elsewhere[cut_as_in_training]} | {cnn_cut_elsewhere[cut_between]} | {cnn_cut_elsewhere[cut_difference]} ({cnn_cut_elsewhere[cut_difference_interval]})",
        "B: grouped by track, tracks of the training set | {cnn_cut_elsewhere[same_network_cut_as_in_training]} | {cnn_cut_elsewhere[same_network_cut_between]} | {cnn_cut_elsewhere[same_network_cut_difference]} ({cnn_cut_elsewhere[same_network_cut_difference_interval]})",
        "C: grouped by track, tracks that are not in training | {cnn_cut_elsewhere[unheard_cut_as_in_training]} | {cnn_cut_elsewhere[unheard_cut_between]} | {cnn_cut_elsewhere[unheard_cut_difference]} ({cnn_cut_elsewhere[unheard_cut_difference_interval]})",
        "A minus C, in points | | {cnn_cut_elsewhere[between_minus_unheard]} ({cnn_cut_elsewhere[between_minus_unheard_interval]}) | ",
        "B minus C, in points | | {cnn_cut_elsewhere[same_network_between_minus_unheard]} ({cnn_cut_elsewhere[same_network_between_minus_unheard_interval]}) | ",
    ],
    "codec": [
        "MFCCs 1 to 13 of {codec[tracks]} tracks, {codec[formats]} | root mean square of the difference, in % of a standard deviation",
        "all coefficients | {codec[mfcc_error]}",
        "the lowest and the highest of a coefficient | {codec[least_and_greatest_error]}",
    ],
    "splits": [
        "{card_cnn_artist[corpus]} | CNN, 13 MFCCs | SVM, 13 MFCCs | MLP, 20 MFCCs",
        "segments at random | {card_cnn_segment[track]} | {card_svm_segment[track]} | {card_mlp_segment[track]}",
        "grouped by track | {card_cnn_track[track]} | {card_svm_track[track]} | {card_mlp_track[track]}",
        "artist-disjoint | {card_cnn_artist[track]} | {card_svm_artist[track]} | {card_mlp_artist[track]}",
        "fault filtered | {card_cnn_fault_filtered[track]} | {card_svm_fault_filtered[track]} | {card_mlp_fault_filtered[track]}",
        "balanced accuracy, artist-disjoint | {card_cnn_artist[balanced_accuracy]} | {card_svm_artist[balanced_accuracy]} | {card_mlp_artist[balanced_accuracy]}",
    ],
    "effects": [
        "in points, on the tracks that all three splits test | CNN, 13 MFCCs | SVM, 13 MFCCs | MLP, 20 MFCCs",
        "recordings in both sets (leakage): segments at random minus grouped by track | {leak_cnn[recordings]} ({leak_cnn[recordings_interval]}) | {leak_svm[recordings]} ({leak_svm[recordings_interval]}) | {leak_mlp[recordings]} ({leak_mlp[recordings_interval]})",
        "artists in both sets (artist effect): grouped by track minus artist-disjoint | {leak_cnn[artists]} ({leak_cnn[artists_interval]}) | {leak_svm[artists]} ({leak_svm[artists_interval]}) | {leak_mlp[artists]} ({leak_mlp[artists_interval]})",
    ],
    "alike": [
        "artist-disjoint, {alike_cnn_without_weights[corpus]} | accuracy by track | balanced",
        "CNN | {alike_cnn_without_weights[track]} | {alike_cnn_without_weights[balanced_accuracy]}",
        "CNN, genres of equal weight | {alike_cnn_with_weights[track]} | {alike_cnn_with_weights[balanced_accuracy]}",
        "CNN, genres of equal weight, standardised input | {alike_cnn_with_weights_standardised[track]} | {alike_cnn_with_weights_standardised[balanced_accuracy]}",
        "SVM | {alike_svm_without_weights[track]} | {alike_svm_without_weights[balanced_accuracy]}",
        "SVM, genres of equal weight | {alike_svm_with_weights[track]} | {alike_svm_with_weights[balanced_accuracy]}",
        "MLP | {alike_mlp_without_weights[track]} | {alike_mlp_without_weights[balanced_accuracy]}",
        "MLP, genres of equal weight | {alike_mlp_with_weights[track]} | {alike_mlp_with_weights[balanced_accuracy]}",
        "MLP, genres of equal weight, no noise | {alike_mlp_with_weights_no_noise[track]} | {alike_mlp_with_weights_no_noise[balanced_accuracy]}",
        "MLP, genres of equal weight, one network | {alike_mlp_with_weights_one_network[track]} | {alike_mlp_with_weights_one_network[balanced_accuracy]}",
    ],
    "differences": [
        "artist-disjoint | difference in accuracy by track, in points",
        "SVM minus CNN | {artist_svm_minus_cnn[difference]} ({artist_svm_minus_cnn[interval]})",
        "MLP minus CNN | {artist_mlp_minus_cnn[difference]} ({artist_mlp_minus_cnn[interval]})",
        "MLP minus SVM | {artist_mlp_minus_svm[difference]} ({artist_mlp_minus_svm[interval]})",
    ],
    "features": [
        "all 1,000 tracks | tracks at random | artist-disjoint | fault filtered | first minus second",
        "ANN, 57 features | {features_studys_ann_segment[track]} | {features_studys_ann_artist[track]} | {features_studys_ann_fault_filtered[track]} | {features_studys_ann_leak[track]}",
        "SVM, 57 features | {features_svm_segment[track]} | {features_svm_artist[track]} | {features_svm_fault_filtered[track]} | {features_svm_leak[track]}",
        "logistic regression, 57 features | {features_logistic_regression_segment[track]} | {features_logistic_regression_artist[track]} | {features_logistic_regression_fault_filtered[track]} | {features_logistic_regression_leak[track]}",
        "best of 24 settings on the validation set | {features_chosen_on_validation_part_segment[track]} | {features_chosen_on_validation_part_artist[track]} | {features_chosen_on_validation_part_fault_filtered[track]} | {features_chosen_on_validation_part_leak[track]}",
    ],
    "peers": [
        "{peers_svm[corpus]} | features trained on | artist-disjoint | seeds | balanced | fault filtered | seconds",
        "SVM, 57 features |  | {peers_svm_57_features[track]} | {peers_svm_57_features[least_and_greatest]} | {peers_svm_57_features[balanced_accuracy]} | {peers_svm_57_features[fault_filtered]} | {peers_core_seconds[57_features_seconds]}",
        "SVM, 39 statistics |  | {peers_svm_39_statistics[track]} | {peers_svm_39_statistics[least_and_greatest]} | {peers_svm_39_statistics[balanced_accuracy]} | {peers_svm_39_statistics[fault_filtered]} | {peers_core_seconds[39_statistics_seconds]}",
        "SVM, 269 statistics |  | {peers_svm_269_statistics[track]} | {peers_svm_269_statistics[least_and_greatest]} | {peers_svm_269_statistics[balanced_accuracy]} | {peers_svm_269_statistics[fault_filtered]} | {peers_core_seconds[269_statistics_seconds]}",
        "SVM, musicnn MTT | 19,000 songs | {peers_svm_musicnn_mtt[track]} | {peers_svm_musicnn_mtt[least_and_greatest]} | {peers_svm_musicnn_mtt[balanced_accuracy]} | {peers_svm_musicnn_mtt[fault_filtered]} | {peers_core_seconds[musicnn_mtt_seconds]}",
        "SVM, musicnn MTT, last layer | 19,000 songs | {peers_svm_musicnn_mtt_last_layer[track]} | {peers_svm_musicnn_mtt_last_layer[least_and_greatest]} | {peers_svm_musicnn_mtt_last_layer[balanced_accuracy]} | {peers_svm_musicnn_mtt_last_layer[fault_filtered]} | {peers_core_seconds[musicnn_mtt_last_layer_seconds]}",
        "SVM, musicnn MSD | 200,000 songs | {peers_svm_musicnn_msd[track]} | {peers_svm_musicnn_msd[least_and_greatest]} | {peers_svm_musicnn_msd[balanced_accuracy]} | {peers_svm_musicnn_msd[fault_filtered]} | {peers_core_seconds[musicnn_msd_seconds]}",
        "SVM, musicnn MSD, last layer | 200,000 songs | {peers_svm_musicnn_msd_last_layer[track]} | {peers_svm_musicnn_msd_last_layer[least_and_greatest]} | {peers_svm_musicnn_msd_last_layer[balanced_accuracy]} | {peers_svm_musicnn_msd_last_layer[fault_filtered]} | {peers_core_seconds[musicnn_msd_last_layer_seconds]}",
        "CNN on segments |  | {peers_cnn[track]} | {peers_cnn[least_and_greatest]} | {peers_cnn[balanced_accuracy]} | {peers_cnn[fault_filtered]} | ",
        "SVM on segments |  | {peers_svm[track]} | {peers_svm[least_and_greatest]} | {peers_svm[balanced_accuracy]} | {peers_svm[fault_filtered]} | ",
        "MLP on segments |  | {peers_mlp[track]} | {peers_mlp[least_and_greatest]} | {peers_mlp[balanced_accuracy]} | {peers_mlp[fault_filtered]} | ",
        "robust MLP on segments |  | {peers_robust_mlp[track]} | {peers_robust_mlp[least_and_greatest]} | {peers_robust_mlp[balanced_accuracy]} | {peers_robust_mlp[fault_filtered]} | ",
    ],
    "peers_differences": [
        "artist-disjoint, {peers_differences[corpus]} | difference in points",
        "SVM: musicnn MSD minus musicnn MTT | {peers_differences[svm_musicnn_msd_minus_svm_musicnn_mtt]}",
        "SVM: musicnn MTT minus 39 statistics | {peers_differences[svm_musicnn_mtt_minus_svm_39_statistics]}",
        "SVM: musicnn MTT minus 269 statistics | {peers_differences[svm_musicnn_mtt_minus_svm_269_statistics]}",
        "SVM: musicnn MTT minus 57 features | {peers_differences[svm_musicnn_mtt_minus_svm_57_features]}",
        "SVM: 39 statistics minus 57 features | {peers_differences[svm_39_statistics_minus_svm_57_features]}",
        "SVM: 269 statistics minus 57 features | {peers_differences[svm_269_statistics_minus_svm_57_features]}",
        "SVM, musicnn MSD minus robust MLP | {peers_differences[svm_musicnn_msd_minus_robust_mlp]}",
        "SVM, musicnn MTT minus robust MLP | {peers_differences[svm_musicnn_mtt_minus_robust_mlp]}",
    ],
    "mel_cnn": [
        "{peers_mel_cnn[corpus]}, artist-disjoint | accuracy by track | balanced",
        "CNN on mel spectrograms | {peers_mel_cnn[track]} | {peers_mel_cnn[balanced_accuracy]}",
    ],
    "robustness": [
        "artist-disjoint, {robustness_mlp[corpus]} | clean | mean of clean and ten degradations",
        "CNN, no copies | {robustness_cnn[original]} ({robustness_cnn[original_interval]}) | {robustness_cnn[mean]}",
        "CNN, no copies, originals four times | {robustness_cnn_originals_four_times[original]} ({robustness_cnn_originals_four_times[original_interval]}) | {robustness_cnn_originals_four_times[mean]}",
        "CNN, the study's copies | {robustness_cnn_study_s_copies[original]} ({robustness_cnn_study_s_copies[original_interval]}) | {robustness_cnn_study_s_copies[mean]}",
        "SVM, no copies | {robustness_svm[original]} ({robustness_svm[original_interval]}) | {robustness_svm[mean]}",
        "MLP, no copies | {robustness_mlp[original]} ({robustness_mlp[original_interval]}) | {robustness_mlp[mean]}",
        "MLP, no copies, originals five times | {robustness_mlp_originals_five_times[original]} ({robustness_mlp_originals_five_times[original_interval]}) | {robustness_mlp_originals_five_times[mean]}",
        "MLP, `ROBUST` copies | {robustness_mlp_robust[original]} ({robustness_mlp_robust[original_interval]}) | {robustness_mlp_robust[mean]}",
    ],
    "copies_or_steps": [
        "paired difference in points, {robustness_differences[corpus]} | clean | mean of clean and ten degradations",
        "CNN: the study's copies minus none | {robustness_differences[cnn_study_s_copies_minus_cnn_clean]} | {robustness_differences[cnn_study_s_copies_minus_cnn_all_columns]}",
        "CNN: the study's copies minus originals four times | {robustness_differences[cnn_study_s_copies_minus_cnn_originals_four_times_clean]} | {robustness_differences[cnn_study_s_copies_minus_cnn_originals_four_times_all_columns]}",
        "MLP: `ROBUST` copies minus none | {robustness_differences[mlp_robust_minus_mlp_clean]} | {robustness_differences[mlp_robust_minus_mlp_all_columns]}",
        "MLP: `ROBUST` copies minus originals five times | {robustness_differences[mlp_robust_minus_mlp_originals_five_times_clean]} | {robustness_differences[mlp_robust_minus_mlp_originals_five_times_all_columns]}",
    ],
    "outside": [
        "MLP, `ROBUST` copies, in points, minus | five tests inside the ranges of training | five tests outside",
        "MLP, no copies | {robustness_differences[mlp_robust_minus_mlp_inside]} | {robustness_differences[mlp_robust_minus_mlp_outside]}",
        "SVM, no copies | {robustness_differences[mlp_robust_minus_svm_inside]} | {robustness_differences[mlp_robust_minus_svm_outside]}",
        "CNN, no copies | {robustness_differences[mlp_robust_minus_cnn_inside]} | {robustness_differences[mlp_robust_minus_cnn_outside]}",
    ],
    "pretrained": [
        "artist-disjoint, {pretrained[corpus]} | share",
        "accuracy by track | {pretrained[track]}",
        "the same, whole tracks only | {pretrained[whole_track_accuracy]}",
        "balanced accuracy: the mean of the recalls of all genres | {pretrained[balanced_accuracy]}",
        "correct genre among the three most probable | {pretrained[among_first_three]}",
        "accuracy of always predicting the most frequent genre | {pretrained[majority]}",
        "tracks with a probability above 0.9 | {pretrained[share_above_90]}",
        "accuracy on these tracks | {pretrained[right_when_above_90]}",
    ],
    "summary": [
        "{pretrained_summary[corpus]} | tracks | accuracy",
        "whole tracks of other artists | {pretrained_summary[whole_n]} | {pretrained_summary[whole]}",
        "clips of other artists | {pretrained_summary[clips_n]} | {pretrained_summary[clips]}",
        "both, mean of ten simulated degradations | {pretrained_summary[degraded_n]} | {pretrained_summary[degraded]}",
        "real recordings of other artists (pieces) | {pretrained_summary[real_n]} | {pretrained_summary[real]}",
        "music outside GTZAN | {pretrained_summary[outside_n]} | {pretrained_summary[outside]}",
    ],
    "trust": [
        "lowest probability kept | share of songs kept | accuracy on these",
        "0.3 | {outside_trust[above_30_kept]} | {outside_trust[above_30]}",
        "0.5 | {outside_trust[above_50_kept]} | {outside_trust[above_50]}",
        "0.7 | {outside_trust[above_70_kept]} | {outside_trust[above_70]}",
    ],
    "outside_music": [
        "{outside_mlp_robust[tracks]} songs outside GTZAN, trained on {outside_mlp_robust[corpus]} | accuracy | seeds | balanced | among three | robust MLP minus it, in points",
        "CNN, no copies | {outside_cnn[track]} | {outside_cnn[least]} to {outside_cnn[greatest]} | {outside_cnn[balanced_accuracy]} | {outside_cnn[among_three]} | {outside_differences[robust_minus_cnn]}",
        "SVM, no copies | {outside_svm[track]} | | {outside_svm[balanced_accuracy]} | {outside_svm[among_three]} | {outside_differences[robust_minus_svm]}",
        "MLP, no copies | {outside_mlp[track]} | {outside_mlp[least]} to {outside_mlp[greatest]} | {outside_mlp[balanced_accuracy]} | {outside_mlp[among_three]} | {outside_differences[robust_minus_mlp]}",
        "MLP, `ROBUST` copies, and clips | {outside_mlp_robust[track]} | {outside_mlp_robust[least]} to {outside_mlp_robust[greatest]} | {outside_mlp_robust[balanced_accuracy]} | {outside_mlp_robust[among_three]} |",
        "always the most frequent genre | {outside_mlp_robust[majority]} | | | |",
    ],
    "real": [
        "{real_recordings[pieces]} real recordings of {real_recordings[tracks]} tracks | accuracy by piece | the clean tracks | recall: classical, pop",
        *(
            f"{words} | {{real_recordings[{name}]}} | {{real_recordings[{name}_clean]}} | {{real_recordings[{name}_recall_classical]}}, {{real_recordings[{name}_recall_pop]}}"
            for words, name in {
                "CNN, no copies": "cnn",
                "CNN, the study's copies": "cnn_study_s_copies",
                "SVM, no copies": "svm",
                "MLP, no copies": "mlp",
                "the same, without weights": "mlp_no_weights",
                "MLP, `ROBUST` copies": "mlp_robust",
                "the same without weights": "mlp_robust_no_weights",
                "MLP, `ROBUST` copies, and three with `rerecord`": "mlp_robust_and_rerecord",
            }.items()
        ),
        "always the most frequent genre of the pieces | {real_recordings[majority]} | |",
    ],
    "real_differences": [
        "paired difference in points, same tracks | real recordings | ten simulated degradations | clean",
        *(
            f"{words} | {{real_recordings_differences[{name}_real_recording]}} | {{real_recordings_differences[{name}_ten_degradations]}} | {{real_recordings_differences[{name}_clean]}}"
            for words, name in {
                "MLP: `ROBUST` copies minus none": "mlp_robust_minus_mlp",
                "the same, both without weights": "mlp_robust_no_weights_minus_mlp_no_weights",
                "MLP: weights minus none": "mlp_minus_mlp_no_weights",
                "MLP, `ROBUST` copies: weights minus none": "mlp_robust_minus_mlp_robust_no_weights",
                "MLP, `ROBUST` copies: with three more minus without": "mlp_robust_and_rerecord_minus_mlp_robust",
                "MLP: copy by `rerecord` minus none": "mlp_rerecord_minus_mlp",
                "MLP: copy by `mp3` minus none": "mlp_mp3_minus_mlp",
                "CNN: the study's copies minus none": "cnn_study_s_copies_minus_cnn",
            }.items()
        ),
    ],
    "calibration": [
        "probability | tracks | mean probability | accuracy",
        "up to 50 % | {pretrained[calibration_up_to_50_tracks]} | {pretrained[calibration_up_to_50_probability]} | {pretrained[calibration_up_to_50]}",
        "50 to 70 % | {pretrained[calibration_50_to_70_tracks]} | {pretrained[calibration_50_to_70_probability]} | {pretrained[calibration_50_to_70]}",
        "70 to 90 % | {pretrained[calibration_70_to_90_tracks]} | {pretrained[calibration_70_to_90_probability]} | {pretrained[calibration_70_to_90]}",
        "above 90 % | {pretrained[calibration_above_90_tracks]} | {pretrained[calibration_above_90_probability]} | {pretrained[calibration_above_90]}",
        "expected calibration error | | | {pretrained[calibration_error]}",
    ],
    "genres": [
        "genre | recall",
        "blues | {pretrained[recall_blues]}",
        "classical | {pretrained[recall_classical]}",
        "country | {pretrained[recall_country]}",
        "disco | {pretrained[recall_disco]}",
        "hiphop | {pretrained[recall_hiphop]}",
        "jazz | {pretrained[recall_jazz]}",
        "metal | {pretrained[recall_metal]}",
        "pop | {pretrained[recall_pop]}",
        "reggae | {pretrained[recall_reggae]}",
        "rock | {pretrained[recall_rock]}",
    ],
    "degradations": [
        "sound | accuracy by track | loss",
        "clean | {pretrained[on_original]} | {pretrained[lost_original]}",
        "16 kHz | {pretrained[on_16_khz]} | {pretrained[lost_16_khz]}",
        "8 kHz | {pretrained[on_8_khz]} | {pretrained[lost_8_khz]}",
        "MP3, 64 kbit/s | {pretrained[on_mp3_64_kbit_s]} | {pretrained[lost_mp3_64_kbit_s]}",
        "MP3, 32 kbit/s | {pretrained[on_mp3_32_kbit_s]} | {pretrained[lost_mp3_32_kbit_s]}",
        "noise, 20 dB | {pretrained[on_noise_20_db]} | {pretrained[lost_noise_20_db]}",
        "noise, 10 dB | {pretrained[on_noise_10_db]} | {pretrained[lost_noise_10_db]}",
        "30 dB quieter | {pretrained[on_30_db_quieter]} | {pretrained[lost_30_db_quieter]}",
        "clipped | {pretrained[on_clipped]} | {pretrained[lost_clipped]}",
        "small loudspeaker | {pretrained[on_small_loudspeaker]} | {pretrained[lost_small_loudspeaker]}",
        "reverberant room | {pretrained[on_reverberant_room]} | {pretrained[lost_reverberant_room]}",
    ],
}


def fill_tables(text: str, results: dict) -> str:
    """Write the tables of a page; a table, entry or number that does not exist is a KeyError."""
    numbers = {name: shown(entry) for name, entry in results.items()}

    def table(match: re.Match) -> str:
        header, *rows = TABLES[match[1]]
        line_below = " | ".join(["---"] * len(header.split("|")))
        lines = [f"| {line} |" for line in [header, line_below, *rows]]
        filled = "\n".join(lines).format(**numbers)
        return f"<!-- table: {match[1]} -->\n\n{filled}\n\n<!-- end -->"

    return re.sub(r"<!-- table: (\w+) -->.*?<!-- end -->", table, text, flags=re.DOTALL)


def shown(entry: dict) -> dict[str, str]:
    """Write the numbers of an entry as they stand in a table.

    ``track``, ``validation`` and ``fault_filtered`` are accuracies with their interval in brackets.
    """
    cells = {}
    for key, value in entry["results"].items():
        if key.startswith("calibration_") and isinstance(value, list):
            tracks, probability, accuracy, low, high = value
            cells[f"{key}_tracks"] = f"{tracks:.0f}"
            cells[f"{key}_probability"] = number(key, probability)
            value = [accuracy, low, high]
        # Only differences have an interval of this name.
        cells[key] = number("difference" if key == "interval" else key, value)
    for key in ("track", "validation", "fault_filtered"):
        if f"{key}_interval" in cells:
            cells[key] = f"{cells[f'{key}_accuracy']} ({cells[f'{key}_interval']})"
    if entry["corpus"] == "GTZAN":
        cells["corpus"] = "1,000 tracks"
    else:
        corpus = entry["corpus"].removeprefix("GTZAN, ")
        cells["corpus"] = corpus.replace(" of its 1,000", "")
    return cells


def number(key: str, value: float | str | list[float] | None) -> str:
    """Write counts with commas, ratios, times and distances short, and shares in percent.

    Differences of accuracies are in points, with their sign.
    """
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list):
        if len(value) == 3:  # with its interval
            return f"{number(key, value[0])} ({number(key, value[1:])})"
        low, high = (number(key, each) for each in (value[0], value[-1]))
        return f"{low.removesuffix(' %')} to {high}"
    if key.endswith(("ratio", "seconds", "minutes", "ms")) or "distance" in key:
        two_digits = float(f"{value:.2g}")
        return f"{two_digits:g}"
    percent = round(100 * value, 1) + 0.0  # no -0.0
    if any(name in key for name in DIFFERENCES):
        return f"{percent:+.1f}"
    return f"{percent:.1f} %"


if __name__ == "__main__":
    results = json.loads(Path("snapshots/results.json").read_text(encoding="utf-8"))
    for name in PAGES:
        page = Path(name)
        text = page.read_text(encoding="utf-8")
        page.write_text(fill_tables(text, results), encoding="utf-8")
