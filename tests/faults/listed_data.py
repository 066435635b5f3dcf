"""Faults of what comes from outside: data, settings, methods; and of reports."""

from tests.faults.catalogue import Line, at

DATA = (
    Line(
        "F50",
        "an archive or an official file with a changed byte",
        "refused by sha256 beside the published md5, and nothing of it is taken",
        at(
            faults__data="test_f50_no_changed_byte_of_an_archive_reaches_the_data "
            "test_f50_every_official_file_has_two_pinned_checksums_and_each_is_looked_at",
            bench__data__cifar="""
                test_a_changed_or_truncated_file_is_named_with_both_digests
                test_the_md5_is_checked_as_well
            """,
            bench__data__download="test_a_download_with_another_md5_is_never_unpacked",
        ),
    ),
    Line(
        "F51",
        "a tar with names that lead out, links, devices, pipes",
        "refused whole; nothing outside the folder changes",
        at(
            bench__data__download="test_an_archive_that_reaches_outside_is_refused_whole",
            faults__malicious="test_m1_a_name_that_leads_out_of_the_folder_is_refused_in_every_form_of_tar "
            "test_m2_a_link_is_refused_wherever_it_points_and_nothing_is_written_through_it",
        ),
    ),
    Line(
        "F52",
        "a tar that gets past the filters of the standard library",
        "archives are never extracted: named members are read, checked and written by us",
        at(
            faults__malicious="test_m1_a_name_that_a_later_header_replaces_is_judged_by_what_it_becomes "
            "test_m2_a_link_is_refused_wherever_it_points_and_nothing_is_written_through_it",
            faults__guard="test_g26_no_source_lets_data_run_code",
        ),
    ),
    Line(
        "F53",
        "a megabyte that unpacks to a gigabyte",
        "refused at its header or at the sum of all members, in a moment",
        at(
            faults__malicious="test_m3_a_megabyte_that_unpacks_to_a_gigabyte_ends_at_its_header "
            "test_m3_many_members_of_an_allowed_size_end_at_the_sum_of_all",
            bench__data__idx="test_bombs_and_cut_files_are_refused",
            noise__formats="test_an_archive_that_unpacks_to_too_much_is_refused_before_it_is",
        ),
    ),
    Line(
        "F54",
        "a CIFAR batch whose pickle runs a command",
        "refused by name, nothing runs",
        at(
            faults__malicious="test_m4_a_cifar_batch_that_would_run_a_command_is_refused_though_its_checksum_is_right",
            bench__data__cifar="test_a_pickle_that_runs_a_command_is_refused_and_nothing_runs",
            noise__pickles="test_a_command_is_refused_by_name_and_not_run "
            "test_a_forged_or_damaged_pickle_is_refused_in_one_line",
        ),
    ),
    Line(
        "F55",
        "a .pt file that carries an object",
        "weights_only and no other way in; nothing runs",
        at(
            faults__malicious="test_m5_a_pt_file_with_an_object_is_refused_by_every_command_that_reads_labels",
            bench__data__torch_files="test_a_file_that_would_run_a_command_is_refused_and_nothing_runs "
            "test_no_way_in_but_the_restricted_one_is_ever_tried",
        ),
    ),
    Line(
        "F56",
        "an .npy file of objects",
        "refused wherever arrays are read",
        at(
            faults__malicious="test_m6_an_npy_file_with_an_object_is_refused_as_labels_matrix_scores_and_data",
            noise__formats="test_a_file_that_would_run_a_command_is_refused_and_nothing_runs",
            noise__noise_files="test_pickled_objects_are_refused",
        ),
    ),
    Line(
        "F57",
        "label files: wrong length, floats, texts, truths, -1, -100, NaN, a class too many",
        "refused with index and value",
        at(
            noise__formats="""
                test_a_value_that_is_no_label_is_named_with_its_index
                test_an_array_that_holds_no_labels_is_refused
            """,
            noise__file_noise="test_labels_for_other_data_are_refused",
            faults__data="test_f57_labels_that_a_loss_would_ignore_or_wrap_around_never_reach_a_run",
            bench__data__noisy="test_f57_a_damaged_file_is_drawn_again_and_replaced",
        ),
    ),
    Line(
        "F58",
        "labels for another order or another data set",
        "refused where the file tells its true labels; stored ones are known by the data they were drawn on",
        at(
            faults__data="""
                test_f58_labels_of_the_right_length_for_another_order_are_refused_where_the_file_tells_its_truth
            """,
            bench__data__noisy="test_f58_an_index_that_leads_to_other_labels_is_not_believed",
            noise__human="test_labels_of_other_data_are_refused",
        ),
        "a bare vector of the right length for another order: nothing in it could tell",
    ),
    Line(
        "F59",
        "realised noise unlike the noise asked for; flips that stay in their class",
        "rates and counted matrix within four standard deviations, the convention named on the card",
        at(
            noise__injectors="test_expected_share_of_wrong_labels_is_met "
            "test_wrong_labels_drawn_one_by_one_pass_a_binomial_test "
            "test_flips_land_where_the_transition_matrix_allows",
            noise__noise_card="test_a_card_equals_a_recount test_an_inclusive_card_says_what_to_ask_for",
            faults__data="test_f59_realised_noise_is_the_noise_asked_for_and_no_flip_stays_in_its_class",
        ),
    ),
    Line(
        "F60",
        "rates of 0, 1, -0.1, 20, NaN; pairs flipped at one half; two classes; an empty class",
        "0 changes nothing, others are refused with the range, the card says when no diagonal dominates",
        at(
            noise__injectors="test_rate_zero_changes_nothing test_smallest_cases_stay_in_range",
            noise__noise_spec="test_a_wrong_argument_is_refused_in_one_line",
            faults__data="test_f60_a_rate_that_is_no_share_is_refused_with_the_range_before_anything_exists "
            "test_f60_pairs_flipped_more_often_than_not_are_said_to_be",
        ),
    ),
    Line(
        "F61",
        "missing and truncated photographs",
        "counted and named before training; left out only if asked, which changes the digest",
        at(
            bench__data__photo_sets="test_missing_images_are_counted_and_named "
            "test_broken_images_are_found_and_can_be_left_out",
            bench__data__images="test_missing_broken_and_huge_images_are_named "
            "test_an_unreadable_image_ends_the_pass_with_its_name",
        ),
    ),
    Line(
        "F62",
        "an image of 20,000 x 20,000 pixels in a few bytes",
        "refused before it is decoded",
        at(
            bench__data__images="""
                test_a_bomb_is_refused_before_it_is_decoded
                test_a_thin_image_is_refused_before_it_grows
            """,
        ),
    ),
    Line(
        "F63",
        "samples that are in two parts of the data",
        "our splits share none; overlaps of published lists are counted, two labels for one image refused",
        at(
            faults__data="test_f63_no_sample_is_trained_on_and_validated_on_whatever_is_held_out",
            bench__data__photo_sets="test_images_in_two_splits_are_reported "
            "test_two_labels_for_one_image_are_refused_and_clean_training_images_elsewhere_told",
        ),
    ),
    Line(
        "F64",
        "a last batch of one before BatchNorm, fewer samples than a batch",
        "no training batch of one, fewer than two samples refused",
        at(
            faults__data="test_f64_a_network_with_batch_norm_trains_on_any_number_of_samples",
            bench__data__loader="test_a_training_pass_never_yields_a_batch_of_one "
            "test_training_on_fewer_than_two_samples_is_refused",
        ),
    ),
    Line(
        "F65",
        "the data change after the sweep has begun",
        "their digest is part of the run: other data are another run, and a mismatch is refused",
        at(
            faults__drift="test_f65_other_data_under_the_same_name_are_another_run",
            bench__data__store="test_another_digest_than_the_config_wants_is_refused",
            bench__data__padded="test_official_files_that_are_others_now_are_refused_whatever_was_copied",
        ),
    ),
    Line(
        "F66",
        "names in a list of images that lead out of the data folder",
        "refused with their line; links that lead out are not followed",
        at(
            bench__data__images="test_names_that_lead_out_of_the_folder_are_refused "
            "test_links_that_lead_out_of_the_folder_are_refused",
            bench__data__photo_sets="test_lists_that_make_no_sense_are_refused_by_file_and_line",
            bench__data__lists="test_a_name_that_leads_out_is_refused_by_its_line_whatever_blanks_stand_before",
        ),
    ),
)

SETTINGS = (
    Line(
        "F67",
        "a suite in YAML with a tag that calls a function",
        "suites are TOML, records JSON: it is refused",
        at(
            faults__malicious="test_m7_a_yaml_suite_is_no_suite_whatever_its_tags",
            faults__configs="test_f67_results_hold_json_alone_and_no_other_suite_is_found_there",
        ),
    ),
    Line(
        "F68",
        "a key is given twice, in a suite, a record, a flag, a noise or a label file",
        "refused; Python would keep the last in silence",
        at(
            faults__configs="test_f68_a_record_that_gives_a_key_twice_is_read_by_nobody "
            "test_f68_f70_f71_flags_that_contradict_themselves_or_mean_nothing_are_refused",
            bench__sweep__grid="test_f68_f70_a_wrong_suite_file_is_refused_by_file_and_key",
            bench__sweep__files="test_parse_refuses_ambiguous_and_broken_json",
        ),
    ),
    Line(
        "F69",
        "values that a lax reader takes for something else: '1e-3', 012, on, 1:30, 1 for true",
        "refused with key, or line and column",
        at(
            faults__configs="test_f69_f70_a_value_of_another_type_is_refused_with_its_key_or_its_line "
            "test_f69_a_number_with_an_exponent_is_a_number"
        ),
    ),
    Line(
        "F70",
        "misspelt and missing keys, negative rates, no epochs, NaN",
        "one line with the nearest key or the range, exit code 2, nothing made",
        at(
            cli="test_f70_f74_a_mistake_is_one_line_and_2_and_nothing_is_created",
            bench__config="test_f70_a_wrong_setting_is_refused_by_its_name_value_and_what_is_allowed "
            "test_f70_a_missing_setting_is_named",
            bench__sweep__grid="test_f70_a_wrong_value_in_a_suite_file_is_refused_by_file "
            "test_f70_a_wrong_flag_is_refused_by_its_name",
            faults__configs="test_f69_f70_a_value_of_another_type_is_refused_with_its_key_or_its_line "
            "test_f68_f70_f71_flags_that_contradict_themselves_or_mean_nothing_are_refused",
        ),
    ),
    Line(
        "F71",
        "a small text that grows without end: aliases, deep nesting, ranges, numbers of thousands of digits",
        "one line and 2 in a moment",
        at(
            faults__malicious="test_m8_a_small_suite_that_would_grow_without_end_is_refused_in_one_line_at_once "
            "test_m8_a_stored_suite_that_is_nested_without_end_is_damaged",
            faults__configs="test_f68_f70_f71_flags_that_contradict_themselves_or_mean_nothing_are_refused "
            "test_f71_the_largest_range_of_seeds_is_one",
        ),
    ),
    Line(
        "F72",
        "names that are paths, too long, turn the writing direction or move a cursor",
        "refused",
        at(
            faults__configs="test_f72_no_record_is_stored_under_a_name_that_is_a_path_or_moves_a_cursor "
            "test_f72_the_longest_name_may_be_changed_by_flags_and_a_longer_one_is_refused",
            faults__malicious="test_m9_a_suite_whose_name_would_be_a_path_is_refused",
            bench__sweep__files="test_f72_names_that_could_leave_their_folder_are_refused",
            bench__sweep__grid="test_f72_a_method_file_whose_name_is_no_name_is_refused",
        ),
    ),
    Line(
        "F73",
        "code named in somebody's suite, or lying in results or the working folder",
        "run only with --allow-plugin; never imported from results or the working folder",
        at(
            faults__malicious="test_m10_a_suite_that_names_code_is_refused_by_every_verb_even_where_results_bring_it",
            bench__sweep__grid="test_f73_code_named_in_a_suite_file_needs_to_be_allowed",
            faults__writes="""
                test_f73_g27_a_suite_writes_into_results_and_caches_alone_imports_nothing_from_there_and_talks_to_nobody
            """,
        ),
    ),
    Line(
        "F74",
        "a method that is missing, cannot be imported, leaves while it is, or is none",
        "one line and 2 before any run exists",
        at(
            faults__plugins="test_f74_a_method_that_cannot_be_imported_is_found_before_any_run_exists",
            cli="test_f74_a_broken_own_method_is_found_before_any_run_exists",
            methods__registry="test_a_class_that_cannot_train_is_told_what_it_lacks",
        ),
    ),
)

METHODS = (
    Line(
        "F75",
        "a method looks for true labels or test data",
        "it finds none; other true labels change no weight",
        at(
            methods__contract="test_no_path_of_references_leads_from_the_method_to_a_clean_label "
            "test_other_clean_labels_leave_every_weight_as_it_is",
            faults__plugins="test_f75_f76_a_method_that_pries_and_scribbles_finds_nothing_and_spoils_nothing",
        ),
        "a method that opens the data files itself: its code is trusted, and runs as the user",
    ),
    Line(
        "F76",
        "a method writes into labels or images",
        "into its own copies; a run whose labels changed all the same has no result",
        at(
            faults__plugins="test_f75_f76_a_method_that_pries_and_scribbles_finds_nothing_and_spoils_nothing",
            bench__data__loader="test_a_method_that_spoils_its_batch_spoils_nothing_else",
            bench__training__task="test_a_run_whose_labels_were_changed_in_a_batch_has_no_result",
        ),
    ),
    Line(
        "F77",
        "losses or predictions of another shape",
        "that run fails and is told which shape is due",
        at(
            faults__plugins="test_f77_predictions_and_losses_of_another_shape_cost_that_run_alone",
            bench__training__metrics="test_logits_of_another_shape_are_refused_with_the_shape_that_is_due",
        ),
    ),
    Line(
        "F78",
        "NaN in logits or losses",
        "the run ends as diverged, keeps its history, is shown and marked; a dead network scores nothing",
        at(
            faults__plugins="test_f78_a_run_whose_numbers_die_keeps_its_history_and_is_shown_and_marked",
            bench__training__trainer="test_a_dead_network_scores_nothing_though_the_argmax_of_nan_is_class_zero",
            bench__evidence__tables="test_diverged_runs_are_shown_and_marked",
        ),
    ),
    Line(
        "F79",
        "a batch in which nothing is selected",
        "a loss of zero with a gradient of zero",
        at(
            methods__selection="test_an_empty_selection_gives_zero_with_a_gradient_of_zero",
            methods__cmd="test_a_gate_that_nothing_passes_leaves_the_source_loss "
            "test_normaliser_selected_is_finite_where_nothing_is_selected",
            faults__plugins="test_f79_a_batch_of_which_nothing_is_selected_trains_nothing_and_kills_nothing "
            "test_f79_methods_that_select_get_through_batches_in_which_they_trust_nobody",
        ),
    ),
    Line(
        "F80",
        "a method that forgets part of its state",
        "resumed equals uninterrupted after every epoch, for every registered method; a forgetful one is found out",
        at(
            methods__contract="test_a_run_cut_after_any_epoch_and_resumed_is_the_uninterrupted_one_bit_for_bit",
            faults__plugins="test_f80_the_contract_tells_a_method_that_forgets_from_one_that_does_not",
        ),
    ),
)

REPORTS = (
    Line(
        "F81",
        "a seed is missing, or a run has no number",
        "n of N beside the number, the missing named; a table for a paper refuses",
        at(
            bench__evidence__tables="test_f81_missing_runs_are_counted_named_and_refused_in_a_paper "
            "test_f81_a_run_without_a_number_is_not_averaged_away_in_silence",
            faults__reports="test_f81_a_column_of_nothing_and_a_seed_without_a_number_are_shown_as_missing",
        ),
    ),
    Line(
        "F82",
        "a run counts twice",
        "a copy is no run; two records of one cell and seed are an error",
        at(
            faults__reports="""
                test_f82_g20_copies_and_strangers_in_the_folder_of_runs_change_no_number
                test_f82_two_records_of_one_cell_and_seed_are_an_error_and_no_average
            """,
            bench__evidence__tables="""
                test_f82_one_run_cannot_count_twice
            """,
            bench__evidence__records="""
                test_f82_a_run_given_twice_is_refused
            """,
            bench__verify_tables="test_f82_a_cell_of_runs_that_do_not_belong_together_is_found",
        ),
    ),
    Line(
        "F83",
        "ids that a spreadsheet takes for numbers or for nothing",
        "every id begins with a letter, and comes back as it was",
        at(
            faults__reports="test_f83_ids_that_look_like_numbers_or_nothing_begin_with_a_letter "
            "test_f83_run_ids_and_numbers_survive_a_spreadsheet_that_guesses_types",
            bench__evidence__records="test_f83_ids_survive_csv",
        ),
    ),
    Line(
        "F84",
        "script or commands of a terminal in a name or a message",
        "shown as text in Markdown, SVG and on the terminal; nothing is fetched",
        at(
            faults__malicious="test_m11_script_in_names_and_messages_is_text_in_every_table "
            "test_m11_colours_are_ours_alone",
            faults__reports="test_f84_no_drawing_or_page_of_ours_runs_or_fetches_anything "
            "test_f84_what_a_strangers_results_say_of_a_failure_moves_no_cursor",
            bench__evidence__tables="test_f84_markup_is_escaped_in_markdown",
            bench__evidence__plots="test_f84_names_are_escaped_in_svg",
        ),
        "an HTML report and its content security policy: there is none yet",
    ),
    Line(
        "F85",
        "text cells of a CSV that a spreadsheet would compute",
        "prefixed with an apostrophe",
        at(
            faults__malicious="test_m12_no_text_cell_of_a_csv_is_a_formula",
            bench__evidence__tables="test_f85_text_cells_that_a_spreadsheet_would_run_are_prefixed",
        ),
    ),
    Line(
        "F86",
        "characters that act in LaTeX",
        "escaped; braces balance, every row has as many cells",
        at(
            faults__reports="test_f86_no_character_of_a_name_acts_in_latex",
            bench__evidence__tables="test_f86_latex_is_escaped_and_its_braces_balance "
            "test_latex_has_equally_many_cells_in_every_row",
        ),
    ),
    Line(
        "F87",
        "a written table is older than its records",
        "its manifest names every record by its digest, and verify exits with 3",
        at(
            bench__verify_tables="""
                test_f87_a_stale_table_and_stale_plots_are_named
                test_a_table_without_its_manifest_is_not_believed_and_the_table_command_mends_it
            """,
            faults__reports="""
                test_f87_the_manifest_of_a_table_names_every_record_behind_it
            """,
        ),
    ),
    Line(
        "F88",
        "runs of another protocol, schema, code or of other labels in one row",
        "split and the differing key named, or refused",
        at(
            bench__evidence__records="test_f88_runs_that_differ_are_split_and_the_key_is_named "
            "test_f88_unequal_labels_in_one_row_are_refused test_schema_differences_split",
            bench__evidence__tables="test_f88_mixed_protocols_are_two_rows "
            "test_f88_methods_with_other_wrong_labels_are_not_tested_against_each_other",
        ),
    ),
)

INPUT = (*DATA, *SETTINGS, *METHODS, *REPORTS)
