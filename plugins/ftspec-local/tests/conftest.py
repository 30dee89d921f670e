import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import tiny


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory):
    return tiny.make_model(tmp_path_factory.mktemp("tiny-model"))


@pytest.fixture
def make_job(tmp_path, model_folder):
    """Make a job folder that is ready to start."""
    from ftspec_local.jobs import JobFolder

    def make(name="job", validation=False, rows=20, method="sft", method_options=None, **hyperparameters):
        write = tiny.write_pairs if method == "dpo" else tiny.write_rows
        training = write(tmp_path / "training.jsonl", rows)
        folder = JobFolder(tmp_path / name)
        folder.create(
            {
                "request": {"method": method},
                "base": str(model_folder),
                "training": str(training),
                "validation": str(write(tmp_path / "validation.jsonl", 6)) if validation else None,
                "hyperparameters": {"learning_rate": 1e-2, "batch_size": 4, **hyperparameters},
                "method_options": method_options or {},
                "settings": {"device": "cpu", "precision": "fp32", "threads": 1},
            }
        )
        return folder

    return make
