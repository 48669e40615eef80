"""Whole jobs with flat options: each goes into the record that has it, so that tests can vary any of them alike."""

from dataclasses import fields

from flame_metric.jobs import evaluate, run
from flame_metric.jobs.folder_source import Files


def _taken(options, record):
    """Take the fields of a record out of the options, and return it."""
    return record(**{field.name: options.pop(field.name) for field in fields(record) if field.name in options})


def evaluate_folders(predictions, labels, **options):
    """Score folders: options of the request, of the files and of the job."""
    files, job = _taken(options, Files), _taken(options, evaluate.Job)
    return evaluate.evaluate_folders(predictions, labels, files=files, job=job, **options)


def run_network(network, dataset, **options):
    """Run a network: options of the request, of the run and of the job."""
    job = _taken(options, evaluate.Job)
    return run.run_network(network, dataset, job=job, **options)


def evaluate_network(network, dataset, **options):
    """Run a network, and return its scores."""
    return run_network(network, dataset, **options).evaluation
