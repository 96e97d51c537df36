"""Runs of students that learn in milliseconds."""

from shl.networks.teacher_student.configs import make_config, single_run, sweep_runs

QUICK = {"batch_size": 64, "lr": [0.02], "dataset_size": 320, "num_epochs": 6}


def quick_run(seed=0, teacher="baselineCNN_relu", student="multiChannelCNN_relu", **values):
    return single_run(make_config({**QUICK, **values}), teacher, student, seed)


def quick_runs(seeds=(0, 1), **values):
    return sweep_runs(make_config({**QUICK, **values}), "baselineCNN", "multiChannelCNN", seeds)
