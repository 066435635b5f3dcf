"""Recipes that several methods share: training settings as their papers or released code have them.

Steps are shares of the epochs. A preset is such a table, with "params" for the method's own hyper-parameters; what a
recipe leaves open comes from the harness's uniform recipe of the data set.
"""

from typing import Any

Recipe = dict[str, Any]

SGD: Recipe = {"name": "sgd", "momentum": 0.9}

# Co-teaching's code: no augmentation, pixels in [0, 1], Adam whose rate and momentum change from epoch 80 on
CO_TEACHING: Recipe = {
    "network": "cnn9",
    "epochs": 200,
    "batch_size": 128,
    "augment": "none",
    "normalise": False,
    "optimizer": {"name": "adam", "lr": 0.001, "momentum": 0.9, "weight_decay": 0.0},
    "schedule": {"name": "linear", "start": 80 / 200, "momentum_after": 0.1},
}
CO_TEACHING_CIFAR100: Recipe = {"schedule": {"start": 100 / 200}}

# ProSelfLC (CVPR 2021) on CIFAR-100: 30,000 iterations of 256 are 154 epochs, drops after 15,000 and 22,000
PROSELFLC_CVPR21: Recipe = {
    "network": "resnet44",
    "epochs": 154,
    "batch_size": 256,
    "augment": "crop_flip",
    "optimizer": {**SGD, "lr": 0.1, "weight_decay": 5e-4},
    "schedule": {"name": "steps", "steps": [15 / 30, 22 / 30], "gamma": 0.1},
}
# the same group's later code
PROSELFLC_200EP: Recipe = {
    "network": "shufflenetv2",
    "epochs": 200,
    "batch_size": 128,
    "augment": "crop_flip",
    "rotate": 15.0,
    "optimizer": {**SGD, "lr": 0.1, "weight_decay": 5e-4},
    "schedule": {"name": "steps", "steps": [60 / 200, 120 / 200, 160 / 200], "gamma": 0.2, "warm_up": 16 / 200},
}
# its scheduler stands still during the warm-up, so that the drops come 16 epochs late
PROSELFLC_200EP_REFERENCE: Recipe = {
    **PROSELFLC_200EP,
    "schedule": {"name": "steps", "steps": [76 / 200, 136 / 200, 176 / 200], "gamma": 0.2, "warm_up": 16 / 200},
}

# active-passive losses and what builds on them: gradients are clipped
APL: Recipe = {
    "network": "cnn8",
    "epochs": 120,
    "batch_size": 128,
    "augment": "crop_flip",
    "optimizer": {**SGD, "lr": 0.01, "weight_decay": 1e-4, "clip_norm": 5.0},
    "schedule": {"name": "cosine"},
}
APL_CIFAR100: Recipe = {
    "network": "resnet34",
    "epochs": 200,
    "rotate": 20.0,
    "optimizer": {"lr": 0.1, "weight_decay": 1e-5},
}

# DivideMix's code, and what is measured against it
DIVIDEMIX: Recipe = {
    "network": "preact_resnet18",
    "epochs": 300,
    "batch_size": 128,
    "augment": "crop_flip",
    "optimizer": {**SGD, "lr": 0.02, "weight_decay": 5e-4},
    "schedule": {"name": "steps", "steps": [150 / 300], "gamma": 0.1},
}

# Patrini et al.'s code; Keras's L2 of 1e-4 is a weight decay of 2e-4
LOSS_CORRECTION: Recipe = {
    "network": "resnet32",
    "epochs": 240,
    "batch_size": 128,
    "augment": "crop_flip",
    "optimizer": {**SGD, "lr": 0.1, "weight_decay": 2e-4},
    "schedule": {"name": "steps", "steps": [40 / 120, 80 / 120], "gamma": 0.1},
}
LOSS_CORRECTION_CIFAR100: Recipe = {
    "network": "resnet44",
    "epochs": 300,
    "optimizer": {"weight_decay": 2e-3},
    "schedule": {"steps": [80 / 150, 120 / 150]},
}

GCE: Recipe = {
    "network": "resnet34",
    "epochs": 120,
    "batch_size": 128,
    "augment": "crop_flip",
    "optimizer": {**SGD, "lr": 0.01, "weight_decay": 1e-4},
    "schedule": {"name": "steps", "steps": [40 / 120, 80 / 120], "gamma": 0.1},
}
GCE_CIFAR100: Recipe = {"epochs": 150, "schedule": {"steps": [80 / 150, 120 / 150]}}

# Joint-Optim, and PENCIL after it; the first phases have a constant rate of their own
JOINT_OPTIM: Recipe = {
    "network": "preact_narrow",
    "epochs": 320,
    "batch_size": 128,
    "augment": "crop_flip",
    "optimizer": {**SGD, "lr": 0.2, "weight_decay": 1e-4},
    "schedule": {"name": "steps", "steps": [1 / 3, 2 / 3], "gamma": 0.1},
}
