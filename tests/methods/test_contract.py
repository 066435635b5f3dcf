"""What every method must do: a claim for every check of bench.contract.

The environment variable LNBENCH_METHODS="path/to/file.py:Class ..." puts methods from elsewhere to the same test, and
`run_bench.py check-method path/to/file.py:Class` does without pytest.
"""

import os
from pathlib import Path

import pytest
import torch

from bench.contract import CHECKS, DoesNotApply
from bench.contract.edges import EDGES, SIZES
from methods import registry

OUTSIDE = Path(__file__).parent / "outside.py"
SPECS = [
    *registry.available(),
    f"{OUTSIDE}:Remembering",
    f"{OUTSIDE}:TwoPhases",
    *os.environ.get("LNBENCH_METHODS", "").split(),
]
pytestmark = pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.rpartition("/")[2])


def keep(name, spec, case=None):
    """Hold a method to a check, which says what it found where the method breaks the rule."""
    try:
        CHECKS[name](spec, case)
    except DoesNotApply as reason:
        pytest.skip(str(reason))


# what it is


def test_constructs_from_defaults_without_drawing_a_number_or_making_a_network(spec):
    keep("construction", spec)


def test_is_compared_by_identity_so_that_torch_can_hash_it(spec):
    keep("identity", spec)


def test_cites_its_source(spec):
    keep("source", spec)


def test_the_description_read_from_the_source_is_that_of_the_imported_class(spec):
    keep("description", spec)


def test_no_hyper_parameter_shadows_an_attribute_of_a_module(spec):
    keep("shadows", spec)


def test_a_wrong_hyper_parameter_is_refused_and_the_nearest_is_named(spec):
    keep("refusal", spec)


def test_every_preset_makes_a_run(spec):
    keep("presets", spec)


def test_needs_are_declared_on_the_class_and_not_by_an_instance(spec):
    keep("declaration", spec)


# what it may know


def test_an_undeclared_fact_cannot_be_reached_and_the_error_says_what_to_declare(spec):
    keep("undeclared", spec)


def test_no_path_of_references_leads_from_the_method_to_a_clean_label(spec):
    keep("references", spec)


@pytest.mark.parametrize("change", CHECKS["clean-labels"].cases)
def test_other_clean_labels_leave_every_weight_as_it_is(spec, change):
    keep("clean-labels", spec, change)


# what it hands back


def test_steps_hold_k_finite_losses_and_well_formed_traces(spec):
    keep("steps", spec)


def test_every_scalar_is_one_number(spec):
    keep("scalars", spec)


def test_predict_is_repeatable_and_gives_the_same_heads_in_every_epoch(spec):
    keep("predict", spec)


def test_the_record_of_a_run_is_valid(spec):
    keep("record", spec)


def test_the_state_is_read_by_the_loader_that_runs_no_code(spec):
    keep("state", spec)


# how it learns


def test_a_training_epoch_moves_every_network(spec):
    keep("training", spec)


def test_a_look_at_the_data_moves_no_weight_and_no_statistic_of_batch_norm(spec):
    keep("looking", spec)


def test_no_loss_sends_a_gradient_to_another_network(spec):
    keep("gradients", spec)


def test_a_memory_follows_the_sample_and_not_its_place_in_the_batch(spec):
    keep("memory", spec)


# the same numbers again


def test_the_same_seed_gives_the_same_bits_after_whatever_ran_before(spec):
    keep("repetition", spec)


def test_a_run_cut_after_any_epoch_and_resumed_is_the_uninterrupted_one_bit_for_bit(spec):
    keep("resumption", spec)


def test_the_global_generators_of_python_and_numpy_are_left_alone(spec):
    keep("generators", spec)


# edges


@pytest.mark.parametrize("edge", EDGES)
def test_numbers_stay_finite_at_the_edges(spec, edge):
    keep("edges", spec, edge)


@pytest.mark.parametrize("size", SIZES)
def test_losses_and_gradients_are_finite_for_predictions_without_and_with_full_confidence(spec, size):
    keep("confidence", spec, size)


# waiting for a device


def test_no_step_of_any_pass_waits_for_the_device_as_far_as_a_cpu_can_tell(spec):
    keep("waits", spec)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.filterwarnings("default")  # a GPU lacks deterministic versions of some operations
def test_no_step_of_any_pass_waits_for_the_device(spec):
    keep("gpu-waits", spec)
