"""What is promised of every number, and the hostile inputs."""

from tests.faults.catalogue import Line, at

GUARANTEES = (
    Line(
        "G1",
        "a printed number comes from one finished, valid run",
        "after any kill or damage a table holds true values and blanks",
        at(
            torture__crash_points="""
                test_f2_a_kill_at_every_step_of_two_runs_of_three_epochs
            """,
            torture__corruptions="""
                test_f26_f31_a_file_is_damaged_after_a_crash
            """,
            bench__clean="""
                test_g1_killed_with_9_at_any_step_a_run_is_there_whole_or_not_at_all
            """,
            bench__sweep__relaunch="test_f29_an_edited_result_is_refused_by_table_and_trained_again_by_run",
        ),
    ),
    Line(
        "G2",
        "the same configuration, code, environment and kind of device give the same bytes",
        "runs are trained twice and compared",
        at(
            bench__verify_rerun="test_g2_trained_again_a_run_gives_the_same_bytes_and_a_lie_is_named",
            methods__contract="""
                test_the_same_seed_gives_the_same_bits_after_whatever_ran_before
            """,
            faults__drift="""
                test_f48_what_a_run_does_to_its_process_reaches_no_other
            """,
        ),
        "bit-equal repetitions on a GPU: needs one",
    ),
    Line(
        "G3",
        "how many run at a time, in which order, started how, and how often interrupted changes no bit",
        "payloads compared",
        at(
            faults__drift="test_f47_one_run_at_a_time_and_four_give_the_same_bytes",
            bench__sweep__worker="""
                test_g3_payloads_are_the_same_bytes_for_fork_and_exec_for_one_and_two_slots_and_in_any_order
                test_f6_a_signalled_run_ends_with_75_keeps_its_checkpoint_and_goes_on_to_the_same_bytes
            """,
        ),
    ),
    Line(
        "G4",
        "a resumed run is the uninterrupted one, for every method",
        "each registered method is cut after each epoch",
        at(
            methods__contract="test_a_run_cut_after_any_epoch_and_resumed_is_the_uninterrupted_one_bit_for_bit",
            faults__plugins="test_f80_the_contract_tells_a_method_that_forgets_from_one_that_does_not",
        ),
    ),
    Line(
        "G5",
        "a kill costs at most one epoch of a run",
        "executed epochs are counted",
        at(
            torture__crash_points="""
                test_f2_a_kill_at_every_step_of_two_runs_of_three_epochs
            """,
            torture__kills="""
                test_f3_a_launcher_killed_at_random_moments_repeats_an_epoch_for_each_kill
            """,
            bench__sweep__executor="test_f1_a_killed_run_is_tried_again_from_its_checkpoint_and_repeats_one_epoch",
        ),
        "checkpoints on a GPU are 30 s apart unless asked for otherwise: there a kill costs so much",
    ),
    Line(
        "G6",
        "a damaged checkpoint is noticed",
        "flips, cuts, zeros",
        at(
            bench__sweep__checkpoints="test_f26_f28_a_damaged_checkpoint_is_quarantined_and_the_older_one_used",
            torture__corruptions="""
                test_f26_f31_a_file_is_damaged_after_a_crash
            """,
        ),
    ),
    Line(
        "G7",
        "a damaged result is noticed",
        "every byte is changed, every rule broken under mended digests",
        at(
            bench__sweep__result="""
                test_g7_every_change_of_one_byte_of_a_result_is_noticed
                test_an_impossible_result_is_neither_committed_nor_believed
            """,
            bench__verify_records="""
                test_g6_every_single_byte_of_a_result_counts
                test_two_independent_checkers_believe_the_same_records
            """,
            faults__integrity="""
                test_g7_an_edit_that_mends_every_digest_still_meets_the_rules_of_a_record
            """,
        ),
    ),
    Line(
        "G8",
        "the methods of a column met the same labels, split and order",
        "one label set for each noise and seed, else not paired or refused",
        at(
            end_to_end="test_g8_every_method_of_a_column_met_the_same_wrong_labels_for_each_seed",
            bench__sweep__grid="test_every_method_of_a_seed_meets_the_same_noise_and_each_seed_its_own",
            bench__training__task="test_a_network_depends_on_the_seed_and_its_number_alone",
        ),
    ),
    Line(
        "G9",
        "one protocol in a row",
        "rows split by whatever differs, and name it",
        at(bench__evidence__records="test_f88_runs_that_differ_are_split_and_the_key_is_named"),
    ),
    Line(
        "G10",
        "noise is what it says",
        "tests of rates and matrices, labels pinned by their hashes, dialects against published code",
        at(
            noise__injectors="test_expected_share_of_wrong_labels_is_met "
            "test_symmetric_spreads_its_flips_evenly_over_the_other_classes",
            noise__golden_noise="test_native_labels_are_pinned test_a_dialect_repeats_published_code_bit_for_bit",
        ),
    ),
    Line(
        "G11",
        "true labels never reach training",
        "other true labels leave every weight as it is",
        at(methods__contract="test_other_clean_labels_leave_every_weight_as_it_is"),
    ),
    Line(
        "G12",
        "test labels steer nothing",
        "other test labels change the counts of the test set alone",
        at(faults__plugins="test_g12_test_labels_steer_nothing_but_the_columns_of_the_test_set"),
    ),
    Line(
        "G13",
        "validation is cut from the noisy training set by no true label; clean validation is marked",
        "the split knows the given labels alone; a table by clean labels says so",
        at(
            bench__data__split="test_data_and_noise_seed_choose_the_split_and_labels_only_the_classes",
            faults__integrity="test_g13_g14_a_table_says_which_epoch_counts_and_marks_clean_labels",
        ),
    ),
    Line(
        "G14",
        "no silent best epoch",
        "each rule by hand, and named in the header",
        at(
            bench__evidence__records="""
                test_each_rule_picks_its_own_epoch
                test_last10_is_the_mean_of_the_last_ten_epochs
            """,
            faults__integrity="test_g13_g14_a_table_says_which_epoch_counts_and_marks_clean_labels",
        ),
    ),
    Line(
        "G15",
        "tuning is declared",
        "settings per noise and other than the defaults are named in the table",
        at(
            faults__integrity="test_g15_a_suite_names_what_it_overrides_and_the_table_shows_it",
            bench__evidence__records="test_settings_tuned_per_column_stay_one_row_and_are_named "
            "test_parameters_that_are_not_the_defaults_are_in_the_label",
        ),
        "a field of suites that says what settings were chosen on: there is none",
    ),
    Line(
        "G16",
        "the cost of a number is shown",
        "networks in the row; parameters, samples that went through a network and time in the record",
        at(
            faults__integrity="test_g16_g17_a_row_says_what_its_number_cost_and_whose_it_is",
            bench__training__trainer="test_forward_samples_are_all_that_went_through_a_network",
        ),
    ),
    Line(
        "G17",
        "the network or ensemble that is scored is stated",
        "in the row",
        at(
            faults__integrity="test_g16_g17_a_row_says_what_its_number_cost_and_whose_it_is",
            bench__evidence__tables="test_the_reported_head_and_the_networks_are_in_the_row",
        ),
    ),
    Line(
        "G18",
        "a record says by what and where it was made",
        "each attempt has its versions, device and code",
        at(
            bench__sweep__provenance="""
                test_g18_every_attempt_is_recorded_in_full_and_a_result_names_no_host
            """,
            bench__sweep__worker="""
                test_an_attempt_records_where_and_by_what_it_was_made
            """,
            bench__sweep__origin="""
                test_changes_have_a_digest_that_knows_them_apart_and_comes_back_with_them
            """,
        ),
        "what a GPU and its driver tell: needs one",
    ),
    Line(
        "G19",
        "a table is complete or says so",
        "n of N; refused where asked",
        at(
            faults__integrity="test_g19_g24_a_table_of_some_says_how_many_of_how_many_and_names_the_rest",
            bench__evidence__tables="test_f81_missing_runs_are_counted_named_and_refused_in_a_paper",
        ),
    ),
    Line(
        "G20",
        "no strangers",
        "folders and files of others in the results change no number",
        at(
            faults__reports="""
                test_f82_g20_copies_and_strangers_in_the_folder_of_runs_change_no_number
            """,
            bench__sweep__store="test_f35_f37_only_real_folders_with_run_names_are_runs",
            bench__verify="test_f37_g20_strangers_are_counted_and_not_believed",
        ),
    ),
    Line(
        "G21",
        "tables and records agree",
        "whole names alone count; the manifest holds the digests",
        at(
            bench__verify_tables="""
                test_g21_a_written_table_with_another_digit_is_named
                test_g21_a_written_table_with_other_rows_is_named
            """,
            faults__integrity="""
                test_f31_g21_only_whole_names_count_as_checkpoints_records_and_runs
            """,
            faults__reports="""
                test_f87_the_manifest_of_a_table_names_every_record_behind_it
            """,
        ),
    ),
    Line(
        "G22",
        "old records stay readable, newer ones are refused",
        "a record of each schema is kept beside the tests",
        at(
            faults__integrity="test_g22_a_record_of_every_schema_is_read_as_it_was_meant "
            "test_g22_a_record_of_a_newer_schema_is_refused_by_its_number",
            bench__config="test_the_ids_of_runs_that_were_made_before_the_later_settings_stay",
        ),
    ),
    Line(
        "G23",
        "the statistics are honest",
        "golden numbers to four digits; simulations in which nothing is to be found",
        at(
            bench__evidence__statistics="test_a_paired_t_gives_the_golden_numbers "
            "test_holm_gives_the_golden_numbers_in_the_order_given",
            faults__null_simulations="test_a_t_interval_covers_the_mean_19_times_in_20_at_any_n "
            "test_a_paired_t_calls_equal_methods_different_once_in_20 "
            "test_pairing_finds_a_difference_of_one_sd_the_more_often_the_more_seeds_have_in_common "
            "test_of_eight_equal_methods_one_is_called_worse_as_seldom_as_holm_promises "
            "test_the_smallest_effect_that_can_be_found_is_that_of_the_integral "
            "test_so_many_seeds_find_an_effect_four_times_in_five "
            "test_ranks_cannot_say_more_than_their_number_of_orders",
        ),
        "sign-flip, Wilcoxon, Mann-Whitney, Friedman and Nemenyi, McNemar, Welch against published numbers, "
        "interquartile means and bootstraps: no code computes them yet",
    ),
    Line(
        "G24",
        "diverged and failed runs are visible",
        "marks in the cell, counts and ids below",
        at(
            faults__integrity="test_g19_g24_a_table_of_some_says_how_many_of_how_many_and_names_the_rest",
            faults__plugins="test_f78_a_run_whose_numbers_die_keeps_its_history_and_is_shown_and_marked",
        ),
    ),
    Line(
        "G25",
        "determinism is recorded and watched, not assumed",
        "a run that came out in two ways is an alarm",
        at(bench__sweep__relaunch="test_f14_a_run_that_came_out_in_two_ways_is_an_alarm_for_run_and_table"),
    ),
    Line(
        "G26",
        "data run no code",
        "no source reads pickles, evaluates text, asks a shell or unpacks archives",
        at(
            faults__guard="test_g26_no_source_lets_data_run_code test_g26_the_guard_sees_what_it_bans "
            "test_g26_the_guard_lets_pass_what_is_meant",
            architecture="test_g26_no_data_can_run_code",
        ),
    ),
    Line(
        "G27",
        "nothing is written outside the results and the caches",
        "every process of a sweep is watched; homes and folders are compared",
        at(
            faults__writes="""
                test_f73_g27_a_suite_writes_into_results_and_caches_alone_imports_nothing_from_there_and_talks_to_nobody
                test_g27_the_watcher_sees_what_it_is_meant_to_see
            """,
            faults__reports="test_g27_looking_writes_nothing_but_the_table",
        ),
        "what native code writes without asking Python: the folders are compared, the calls not seen",
    ),
    Line(
        "G28",
        "counts are whole numbers",
        "types of a real record, and a property of whatever is written",
        at(
            faults__integrity="test_g28_every_count_of_a_record_is_a_whole_number "
            "test_g28_g29_what_is_written_reads_back_as_it_was_and_has_one_spelling"
        ),
    ),
    Line(
        "G29",
        "JSON is strict",
        "NaN, doubled keys and scalars of numpy are refused",
        at(
            faults__integrity="test_g29_nan_numpy_and_other_guests_are_refused_wherever_they_stand "
            "test_g28_g29_what_is_written_reads_back_as_it_was_and_has_one_spelling",
            faults__configs="test_f68_a_record_that_gives_a_key_twice_is_read_by_nobody",
            bench__sweep__files="test_parse_refuses_ambiguous_and_broken_json",
        ),
    ),
    Line(
        "G30",
        "a cell equals an independent recomputation",
        "from the records alone, in the tests and by verify",
        at(
            end_to_end="""
                test_g30_every_cell_equals_an_independent_recomputation
            """,
            bench__verify_tables="""
                test_g30_a_table_that_is_computed_wrongly_is_found
                test_a_cell_worked_out_by_hand
            """,
        ),
    ),
)

HOSTILE = (
    Line(
        "M1",
        "tar: names that lead out",
        "anything outside the target",
        at(
            faults__malicious="test_m1_a_name_that_leads_out_of_the_folder_is_refused_in_every_form_of_tar "
            "test_m1_a_name_that_a_later_header_replaces_is_judged_by_what_it_becomes"
        ),
    ),
    Line(
        "M2",
        "tar: links",
        "a file written through one",
        at(faults__malicious="test_m2_a_link_is_refused_wherever_it_points_and_nothing_is_written_through_it"),
    ),
    Line(
        "M3",
        "tar: a bomb",
        "a gigabyte on the disk, or a minute",
        at(
            faults__malicious="test_m3_a_megabyte_that_unpacks_to_a_gigabyte_ends_at_its_header "
            "test_m3_many_members_of_an_allowed_size_end_at_the_sum_of_all"
        ),
    ),
    Line(
        "M4",
        "a CIFAR batch that runs a command",
        "the command's file",
        at(faults__malicious="test_m4_a_cifar_batch_that_would_run_a_command_is_refused_though_its_checksum_is_right"),
    ),
    Line(
        "M5",
        "a .pt file or a checkpoint that carries an object",
        "the command's file",
        at(
            faults__malicious="test_m5_a_pt_file_with_an_object_is_refused_by_every_command_that_reads_labels "
            "test_m5_a_checkpoint_with_an_object_is_set_aside_though_its_name_is_right"
        ),
    ),
    Line(
        "M6",
        "an .npy or .npz file that carries an object",
        "the command's file",
        at(faults__malicious="test_m6_an_npy_file_with_an_object_is_refused_as_labels_matrix_scores_and_data"),
    ),
    Line(
        "M7",
        "a suite with a tag of YAML",
        "the command's file",
        at(faults__malicious="test_m7_a_yaml_suite_is_no_suite_whatever_its_tags"),
    ),
    Line(
        "M8",
        "a suite that grows without end",
        "a traceback, a full memory",
        at(
            faults__malicious="test_m8_a_small_suite_that_would_grow_without_end_is_refused_in_one_line_at_once "
            "test_m8_a_stored_suite_that_is_nested_without_end_is_damaged"
        ),
    ),
    Line(
        "M9",
        "a suite whose name is a path",
        "any file beside the suite's",
        at(faults__malicious="test_m9_a_suite_whose_name_would_be_a_path_is_refused"),
    ),
    Line(
        "M10",
        "a suite that names code",
        "the command's file, without --allow-plugin",
        at(faults__malicious="test_m10_a_suite_that_names_code_is_refused_by_every_verb_even_where_results_bring_it"),
    ),
    Line(
        "M11",
        "script and terminal commands in names and messages",
        "a tag, a macro or a control character in what is printed",
        at(
            faults__malicious="test_m11_script_in_names_and_messages_is_text_in_every_table "
            "test_m11_colours_are_ours_alone"
        ),
    ),
    Line(
        "M12",
        "formulas in a CSV",
        "a text cell that begins one",
        at(faults__malicious="test_m12_no_text_cell_of_a_csv_is_a_formula"),
    ),
)
