"""Faults of execution and storage: death and signals, full and failing disks, several launchers, drift."""

from tests.faults.catalogue import Line, at

DEATH = (
    Line(
        "F1",
        "a run's process is killed in the middle of an epoch",
        "the others go on; it is tried again from its checkpoint, and its bytes are those of a whole run",
        at(
            bench__sweep__executor="test_f1_a_killed_run_is_tried_again_from_its_checkpoint_and_repeats_one_epoch",
            bench__sweep__worker="test_f1_a_run_killed_from_outside_repeats_one_epoch_and_ends_with_the_same_bytes",
        ),
    ),
    Line(
        "F2",
        "a kill at each single step that changes the disk, one after the other",
        "every cell shows its true value or a blank; one relaunch finishes",
        at(
            torture__crash_points="""
                test_f2_a_kill_at_every_step_of_two_runs_of_three_epochs
                test_f2_a_second_kill_while_the_first_is_being_mended
            """,
            bench__sweep__leftovers="""
                test_f2_a_kill_at_any_step_of_a_run_leaves_an_old_or_a_new_state_and_a_relaunch_finishes
            """,
            bench__sweep__files="""
                test_f2_a_kill_at_any_step_leaves_the_old_or_the_new
            """,
        ),
    ),
    Line(
        "F3",
        "kill -9 of drivers and runs at random moments",
        "the same bytes in the end, at most one epoch more for each kill",
        at(
            torture__kills="""
                test_f3_a_launcher_killed_at_random_moments_repeats_an_epoch_for_each_kill
            """,
        ),
    ),
    Line(
        "F4",
        "the driver is killed while its runs train",
        "the runs are gone within a second, write nothing more, and block no relaunch",
        at(
            bench__sweep__interruption="test_f4_runs_end_with_their_killed_driver_and_the_same_command_finishes",
            bench__sweep__forkserver="test_f4_a_killed_driver_takes_server_and_children_along_within_a_second",
        ),
    ),
    Line(
        "F5",
        "SIGTERM to the driver, as a cluster sends it",
        "exit code 75, checkpoints kept, runs count as interrupted, no traceback",
        at(
            bench__sweep__interruption="""
                test_f5_f7_the_first_signal_ends_the_sweep_in_order_with_75_and_the_same_command_goes_on
            """,
        ),
    ),
    Line(
        "F6",
        "SIGTERM, SIGINT or SIGUSR1 to a run",
        "it stops at the next batch with 75, and goes on to the same bytes",
        at(
            bench__sweep__worker="""
                test_f6_a_signalled_run_ends_with_75_keeps_its_checkpoint_and_goes_on_to_the_same_bytes
            """,
        ),
    ),
    Line(
        "F7",
        "Ctrl-C once, twice, or before there is any run",
        "75 in order; the second kills at once with 130; 130 and one word",
        at(
            bench__sweep__interruption="""
                test_f5_f7_the_first_signal_ends_the_sweep_in_order_with_75_and_the_same_command_goes_on
                test_f7_a_second_ctrl_c_kills_the_runs_at_once_and_ends_with_130
            """,
            cli="test_f7_ctrl_c_before_any_run_is_one_word_and_130",
        ),
    ),
    Line(
        "F8",
        "a segmentation fault in a method",
        "that run alone, class killed, its stack in its log",
        at(
            bench__sweep__executor="test_f8_f9_f10_every_way_to_die_costs_that_run_alone_and_is_told_by_its_class",
            bench__sweep__forkserver="test_f8_a_segfault_ends_one_run_and_leaves_its_trace_in_the_log",
        ),
    ),
    Line(
        "F9",
        "a method leaves by os._exit(0)",
        "that run fails: exit 0 without a result is no success",
        at(bench__sweep__executor="test_f8_f9_f10_every_way_to_die_costs_that_run_alone_and_is_told_by_its_class"),
    ),
    Line(
        "F10",
        "a method raises SystemExit or KeyboardInterrupt",
        "that run fails, the sweep goes on",
        at(bench__sweep__executor="test_f8_f9_f10_every_way_to_die_costs_that_run_alone_and_is_told_by_its_class"),
    ),
    Line(
        "F11",
        "a run hangs: it sleeps, waits for ever, is stopped",
        "it is ended, has one more attempt, then has failed: class timeout",
        at(
            bench__sweep__watchdog="""
                test_f11_a_run_that_sleeps_or_is_stopped_or_waits_for_ever_is_ended_and_goes_on_from_its_checkpoint
                test_a_run_that_takes_too_long_has_one_more_attempt_and_has_failed_then
            """,
        ),
    ),
    Line(
        "F12",
        "whoever reads batches dies in the middle of a pass",
        "the run ends with the reader's error, and does not hang",
        at(
            bench__data__streamed="test_a_batch_before_the_torn_image_comes_and_then_the_error",
            bench__data__images="test_an_unreadable_image_ends_the_pass_with_its_name",
        ),
        "a reader that is killed alone: images are read by threads of the run, so there is no such process",
    ),
    Line(
        "F13",
        "an attempt's record names a pid that lives, as another process",
        "pids are not asked: the lock alone says whether a run is running",
        at(
            faults__storage="""
                test_f13_a_living_pid_in_an_old_record_is_no_run
            """,
            bench__sweep__health="""
                test_f13_the_pid_of_an_attempt_is_a_hint_and_holds_no_run
            """,
        ),
    ),
    Line(
        "F14",
        "two processes finish one run, because its lock did not hold",
        "the first result stays, the second is compared: equal is done, different is an alarm",
        at(
            bench__sweep__result="""
                test_a_second_equal_finisher_gets_the_first_result
                test_f14_a_second_finisher_with_another_payload_is_an_alarm_and_changes_nothing
            """,
            bench__sweep__relaunch="test_f14_a_run_that_came_out_in_two_ways_is_an_alarm_for_run_and_table",
        ),
    ),
    Line(
        "F15",
        "the kernel kills a run for its memory",
        "class killed; tried again, with one run less at a time",
        at(
            bench__sweep__executor="""
                test_f15_after_a_kill_from_outside_one_run_less_is_under_way_and_after_other_signals_as_many
                test_f15_what_is_killed_three_times_has_failed_and_the_last_job_stays
            """,
        ),
    ),
    Line(
        "F16",
        "a run is out of a device's memory beside others",
        "class oom; one more attempt alone on the device",
        at(
            bench__sweep__executor="test_f16_a_run_out_of_memory_beside_others_is_tried_once_more_alone",
            bench__sweep__worker="test_what_ended_a_run_gives_its_exit_code",
        ),
        "the recovery of a CUDA allocator: needs a GPU",
    ),
    Line(
        "F17",
        "a method asks for more memory than the process may have",
        "class oom although it is a plain RuntimeError; one more attempt, then failed; the others go on",
        at(faults__plugins="test_f17_more_memory_than_there_is_costs_that_run_alone"),
    ),
    Line(
        "F18",
        "one device is dead: every process there ends at once",
        "it is retired after three, and what it failed is done elsewhere",
        at(
            bench__sweep__breaker="""
                test_f18_a_device_on_which_runs_of_several_methods_fail_is_retired_and_they_are_tried_elsewhere_once
            """,
            bench__sweep__failing_sweeps="""
                test_f18_a_dead_gpu_is_retired_and_what_it_has_failed_is_done_elsewhere_with_all_its_attempts
                test_f18_runs_that_die_before_they_begin_are_failures_too_and_stop_the_sweep
            """,
        ),
        "a GPU that really fails: processes that end at once stand in for it",
    ),
    Line(
        "F19",
        "all runs are broken",
        "the sweep stops after three, with one message",
        at(
            bench__sweep__failing_sweeps="""
                test_f19_three_failures_in_a_row_of_several_methods_stop_the_sweep
                test_a_sweep_of_one_method_that_always_fails_stops_after_three
            """,
        ),
    ),
    Line(
        "F20",
        "torchvision is broken or absent beside this torch",
        "data, augmentation and networks work without; what needs it names both versions",
        at(
            architecture="test_f20_torchvision_is_named_by_one_file_alone",
            bench__vision="test_a_broken_pair_is_mended_with_one_warning_that_names_both_versions "
            "test_where_it_is_not_installed_the_error_says_what_to_install",
            faults__data="test_f20_data_augmentation_and_networks_work_without_torchvision",
        ),
    ),
    Line(
        "F21",
        "torch is absent",
        "status, table, plot, show and verify work",
        at(
            architecture="test_f21_status_table_plot_and_show_work_where_torch_cannot_be_imported "
            "test_f21_what_needs_no_torch_imports_none_however_indirectly",
        ),
    ),
)

STORAGE = (
    Line(
        "F22",
        "the disk is full as a checkpoint is written",
        "the one before is whole, no temporary file stays, the sweep waits for room and counts no attempt",
        at(
            bench__sweep__files="""
                test_f22_a_full_disk_leaves_the_previous_file_and_nothing_else
            """,
            bench__sweep__checkpoints="test_f22_a_full_disk_in_a_checkpoint_leaves_the_previous_one",
            bench__sweep__storage="""
                test_f22_a_full_disk_pauses_the_sweep_which_goes_on_by_itself_and_counts_no_try
                test_f22_on_a_disk_that_is_really_full_a_sweep_waits_and_ends_with_the_same_bytes
            """,
            bench__sweep__failing_sweeps="""
                test_f22_a_disk_that_stays_full_ends_the_sweep_with_75_and_keeps_what_is_there
            """,
            torture__crash_points="""
                test_f22_f25_a_disk_that_fails_at_a_step_and_works_again_at_the_next_launch
            """,
        ),
    ),
    Line(
        "F23",
        "the disk is full as the result is committed",
        "the last checkpoint is whole; the rerun commits without training",
        at(
            torture__crash_points="""
                test_f22_f25_a_disk_that_fails_at_a_step_and_works_again_at_the_next_launch
            """,
        ),
    ),
    Line(
        "F24",
        "the disk is too full for the checkpoints from the start",
        "refused with 2, nothing is made",
        at(
            bench__sweep__preflight="""
                test_f24_a_disk_without_room_for_the_checkpoints_is_refused_before_anything_is_made
            """,
        ),
    ),
    Line(
        "F25",
        "the folder is read-only, forbidden, over quota or fails",
        "refused at the start in one line; later the sweep waits, and a run that alone cannot write fails alone",
        at(
            bench__sweep__preflight="""
                test_f25_a_folder_that_cannot_be_written_is_refused_in_one_line_and_not_left_behind
            """,
            bench__sweep__storage="""
                test_f25_a_run_that_alone_cannot_write_fails_alone
            """,
            bench__sweep__worker="""
                test_what_ended_a_run_gives_its_exit_code
            """,
            torture__crash_points="""
                test_f22_f25_a_disk_that_fails_at_a_step_and_works_again_at_the_next_launch
            """,
        ),
    ),
    Line(
        "F26",
        "a power cut leaves files empty or full of zeros",
        "their digest fails; they are set aside, an older checkpoint serves",
        at(
            bench__sweep__checkpoints="test_f26_f28_a_damaged_checkpoint_is_quarantined_and_the_older_one_used",
            torture__corruptions="""
                test_f26_f31_a_file_is_damaged_after_a_crash
            """,
        ),
        "real loss of power: emptied, zeroed and cut files stand in for it",
    ),
    Line(
        "F27",
        "a checkpoint is cut off",
        "the same, whatever torch would have raised",
        at(
            torture__corruptions="""
                test_f26_f31_a_file_is_damaged_after_a_crash
            """,
            bench__sweep__checkpoints="test_f26_f28_a_damaged_checkpoint_is_quarantined_and_the_older_one_used",
        ),
    ),
    Line(
        "F28",
        "one bit of a checkpoint is flipped, which torch would load",
        "our digest, which stands in its name, tells",
        at(
            bench__sweep__checkpoints="test_f26_f28_a_damaged_checkpoint_is_quarantined_and_the_older_one_used",
            bench__sweep__worker="test_f31_a_bad_checkpoint_is_set_aside_and_the_older_one_used",
        ),
    ),
    Line(
        "F29",
        "somebody edits a number in a result",
        "the table exits with 3 and names the file; run trains it again and keeps the edited one aside",
        at(
            bench__sweep__relaunch="test_f29_an_edited_result_is_refused_by_table_and_trained_again_by_run",
            bench__sweep__worker="""
                test_f29_a_damaged_result_is_set_aside_and_trained_again
            """,
            bench__verify_records="test_f29_g7_g8_whatever_is_damaged_is_named",
        ),
    ),
    Line(
        "F30",
        "both checkpoints are bad",
        "the run starts over",
        at(bench__sweep__checkpoints="test_f30_with_both_checkpoints_damaged_the_run_starts_over"),
    ),
    Line(
        "F31",
        "a killed save has left its temporary file",
        "it is taken for nothing, and swept by the next who holds the lock",
        at(
            faults__integrity="""
                test_f31_g21_only_whole_names_count_as_checkpoints_records_and_runs
            """,
            bench__sweep__leftovers="test_the_lock_sweeps_what_killed_writers_left",
            torture__corruptions="""
                test_f26_f31_a_file_is_damaged_after_a_crash
            """,
        ),
    ),
    Line(
        "F32",
        "a run's folder is removed while it trains",
        "that run fails alone, and no half of a folder is made again",
        at(
            bench__sweep__storage="""
                test_f32_a_run_whose_folder_is_taken_away_fails_alone_and_is_not_made_again
            """,
            bench__sweep__store="test_f32_a_run_folder_removed_while_running_is_an_error_of_that_run",
        ),
    ),
    Line(
        "F33",
        "the clock jumps, files tell false times",
        "nothing is ordered by time",
        at(
            faults__storage="""
                test_f33_false_times_change_neither_what_is_resumed_nor_what_is_shown
            """,
            bench__sweep__store="test_attempts_are_ordered_by_number_and_their_first_end_stands",
        ),
    ),
    Line(
        "F34",
        "locks have no effect",
        "work is done twice at worst, no launcher dies, the table is the same",
        at(
            torture__kills="""
                test_f34_f38_three_launchers_of_one_suite_killed_at_random_moments
            """,
            bench__sweep__checkpoints="test_f34_a_checkpoint_that_vanishes_after_it_was_listed_is_skipped",
            bench__sweep__files="""
                test_a_swept_temporary_file_is_written_again_up_to_three_times
            """,
        ),
        "NFS and Lustre themselves: locks that do nothing stand in for them",
    ),
    Line(
        "F35",
        "results folders with long and odd names: blanks, patterns, quotes, line breaks, commands of a shell",
        "they work; what is inside is named by hashes",
        at(
            faults__storage="test_f35_a_results_folder_may_have_any_name",
            bench__sweep__store="test_f35_f37_only_real_folders_with_run_names_are_runs",
            bench__sweep__relaunch="test_f35_an_odd_results_folder_works",
        ),
    ),
    Line(
        "F36",
        "10,000 runs in one folder",
        "status in 5 s, table in 10 s, seven files for a finished run",
        at(
            bench__many_runs="""
                test_f36_hundreds_of_runs_are_told_and_tabled_and_each_is_looked_at_a_fixed_number_of_times
                test_f36_ten_thousand_runs_of_two_hundred_epochs
            """,
            bench__sweep__provenance="""
                test_f36_a_finished_run_is_seven_files
            """,
            bench__sweep__store="test_f36_the_state_of_a_thousand_long_runs_takes_less_than_half_a_second",
        ),
    ),
    Line(
        "F37",
        "links in the place of parts of the results",
        "refused or left out, and nothing is written through them",
        at(
            faults__storage="""
                test_f37_a_link_in_the_place_of_a_part_of_the_results_is_refused_before_anything_is_written
                test_f37_links_deeper_in_the_results_lead_no_writer_out
            """,
            bench__sweep__store="test_f35_f37_only_real_folders_with_run_names_are_runs",
            bench__sweep__lock="test_f37_a_link_in_the_place_of_a_run_folder_is_not_locked",
            bench__sweep__leftovers="test_f37_no_half_written_file_is_removed_through_a_link",
            bench__data__noisy="""
                test_f35_a_link_in_the_place_of_a_noise_file_is_not_followed
            """,
            bench__clean="""
                test_f37_links_are_not_followed
            """,
            bench__merge="""
                test_f37_links_are_not_followed
            """,
        ),
    ),
)

DRIFT = (
    Line(
        "F38",
        "one suite is launched twice at once",
        "each run is trained once, both exit with 0",
        at(
            bench__sweep__launchers="""
                test_f38_two_launchers_of_one_suite_train_each_run_once_and_both_exit_0
                test_f38_a_run_that_another_launcher_holds_is_waited_for_and_no_failure
            """,
            torture__kills="""
                test_f34_f38_three_launchers_of_one_suite_killed_at_random_moments
            """,
        ),
    ),
    Line(
        "F39",
        "two suites ask for the same run",
        "it is trained once, and stands in both tables",
        at(
            faults__drift="test_f39_f44_suites_share_runs_and_an_edited_one_makes_new_runs_beside_the_old",
            bench__sweep__grid="test_f39_two_suites_that_ask_for_the_same_thing_share_its_run",
        ),
    ),
    Line(
        "F40",
        "table again and again while a sweep trains",
        "every number that is printed is final",
        at(
            faults__drift="""
                test_f40_every_number_that_a_table_shows_while_a_sweep_trains_is_final
            """,
        ),
    ),
    Line(
        "F41",
        "several processes draw the same wrong labels at once",
        "one file, equal labels",
        at(bench__data__noisy="test_f41_processes_that_draw_at_once_leave_one_file_and_agree"),
    ),
    Line(
        "F42",
        "four processes unpack a data set at once",
        "one unpacks, the others wait and use it",
        at(
            faults__drift="test_f42_of_four_processes_one_unpacks_and_the_others_use_what_it_made",
            bench__data__download="test_a_second_fetch_waits_for_the_first",
        ),
    ),
    Line(
        "F43",
        "clean while a run trains",
        "the run is left alone, and said to be",
        at(
            bench__clean="""
                test_f43_a_run_that_is_in_use_is_skipped_and_said
                test_f43_a_run_that_is_taken_up_or_goes_on_after_it_was_shown_is_left_and_said
            """,
        ),
    ),
    Line(
        "F44",
        "a suite file is edited between two launches",
        "new runs beside the old, which stay and are never averaged with them",
        at(faults__drift="test_f39_f44_suites_share_runs_and_an_edited_one_makes_new_runs_beside_the_old"),
    ),
    Line(
        "F45",
        "a method's code is edited between two launches, or before a resume",
        "finished runs are kept and said to be of other code; checkpoints of it are never resumed; comments count not",
        at(
            bench__sweep__relaunch="test_f45_results_of_an_edited_method_are_kept_and_said_or_trained_again_when_asked",
            bench__sweep__worker="test_f45_a_checkpoint_of_other_code_is_set_aside_so_that_no_result_mixes_two_codes "
            "test_f45_a_comment_in_the_method_does_not_cost_its_checkpoints",
            bench__fingerprint="test_f45_a_changed_formula_counts test_f45_comments_docstrings_and_layout_do_not_count "
            "test_f45_what_a_method_imports_of_ours_counts_however_it_is_imported",
        ),
    ),
    Line(
        "F46",
        "torch or the driver changes between checkpoint and resume",
        "allowed and told by the record; --strict-env sets the checkpoint aside",
        at(
            faults__drift="""
                test_f46_a_checkpoint_of_another_torch_is_gone_on_from_and_told_or_set_aside_when_asked
            """,
            bench__table_command="""
                test_f46_runs_of_several_environments_are_a_note_and_those_of_one_are_none
            """,
        ),
    ),
    Line(
        "F47",
        "one run at a time or four, another order, another way of starting",
        "the same bytes on a CPU",
        at(
            faults__drift="test_f47_one_run_at_a_time_and_four_give_the_same_bytes",
            bench__sweep__worker="""
                test_g3_payloads_are_the_same_bytes_for_fork_and_exec_for_one_and_two_slots_and_in_any_order
            """,
            bench__sweep__sharing="test_runs_alone_and_packed_with_those_of_another_method_give_the_same_bytes",
        ),
        "another GPU of the same kind: needs two",
    ),
    Line(
        "F48",
        "a run changes the number format, threads, generators, functions of its process",
        "the run after it equals that run alone",
        at(
            faults__drift="test_f48_what_a_run_does_to_its_process_reaches_no_other",
            bench__sweep__forkserver="test_the_process_is_as_fresh_as_if_it_had_been_executed",
        ),
    ),
    Line(
        "F49",
        "more seeds are asked for",
        "the new ones alone are trained",
        at(bench__sweep__relaunch="test_f49_more_seeds_train_only_the_new_ones"),
    ),
)

EXECUTION = (*DEATH, *STORAGE, *DRIFT)
