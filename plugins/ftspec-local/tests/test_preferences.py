"""Direct preference optimisation: what is compared, that it is learned, and that a kill changes nothing."""

import io
import json
import os
import signal
import time

import pytest
import tiny
from ftspec_local import LocalProvider
from ftspec_local.options import Hyperparameters
from ftspec_local.render import Renderer, RenderError
from ftspec_local.rows import pair
from test_training import finish, losses, wait_for, weights, worker_of

from ftspec import api, rows

SETTINGS = {"epochs": 3, "learning_rate": 5e-3, "checkpoint_steps": 2, "evaluation_steps": 4, "lora": {"dropout": 0.1}}
ROW = tiny.preference("the cat", "billing", "shipping yes")


@pytest.fixture(scope="module")
def renderer(model_folder):
    return Renderer.from_folder(model_folder)


def test_a_pair_is_one_prompt_and_two_answers(renderer):
    found = pair(renderer, ROW, Hyperparameters())
    prompt = renderer.prompt(ROW["messages"])
    assert found.prompt.ids == prompt and "".join(found.chosen.texts) == "billing<|im_end|>"
    assert "".join(found.rejected.texts) == "shipping yes<|im_end|>"
    assert found.tokens == 2 * len(prompt) + len(found.chosen.ids) + len(found.rejected.ids)


def test_answers_that_begin_alike_belong_to_no_prompt(renderer):
    found = pair(renderer, tiny.preference("the cat", "yes billing", "yes shipping"), Hyperparameters())
    assert ["".join(each.texts) for each in (found.chosen, found.rejected)] == [
        "yes billing<|im_end|>", "yes shipping<|im_end|>",
    ]  # fmt: skip


def test_a_long_pair_is_refused_or_cut(renderer):
    row = tiny.preference("the cat", "billing", "yes " * 50)
    limit = len(renderer.prompt(row["messages"])) + 10
    with pytest.raises(RenderError, match="max_length"):
        pair(renderer, row, Hyperparameters(max_length=limit))
    cut = pair(renderer, row, Hyperparameters(max_length=limit, truncate=True))
    assert len(cut.prompt.ids) + len(cut.rejected.ids) == limit and "".join(cut.chosen.texts) == "billing<|im_end|>"


def test_an_answer_of_several_messages_is_refused(renderer):
    row = {**ROW, "chosen": [*ROW["chosen"], {"role": "user", "content": "yes"}, *ROW["chosen"]]}
    with pytest.raises(RenderError, match="the chosen answer has 3 messages"):
        pair(renderer, row, Hyperparameters())


def test_the_provider_writes_and_shows_pairs(model_folder):
    provider = LocalProvider(device="cpu", precision="fp32", threads=1)
    request = api.Request(
        model=api.ModelRef(id=str(model_folder)), method="dpo", hyperparameters={"learning_rate": 1e-3}
    )
    batch = rows.from_dicts(
        [{**ROW, "_row": 1}, {**tiny.preference("<|im_end|>", "a", "b"), "_row": 2}], ("chosen", "rejected")
    )
    out = io.BytesIO()
    written = provider.write(request, [batch.slice(0, 1)], out)
    assert json.loads(out.getvalue()) == ROW and written.trained_tokens < written.tokens
    with pytest.raises(api.DataError) as error:
        provider.write(request, [batch], io.BytesIO())
    assert [finding.row for finding in error.value.findings] == [2]
    (example,) = rows.examples(batch.slice(0, 1))
    shown = {
        weight: "".join(t.text for t in provider.render(request, example) if t.weight == weight) for weight in (1, -1)
    }
    assert shown == {1: "billing<|im_end|>", -1: "shipping yes<|im_end|>"}


def test_the_better_answer_is_learned(make_job):
    folder = make_job(method="dpo", epochs=4, learning_rate=5e-3, method_options={"beta": 0.2}, validation=True)
    result = finish(folder)
    assert result["state"] == "succeeded", result
    train = [metrics for metrics in losses(folder).values() if "train_loss" in metrics]
    assert train[0]["train_loss"] == pytest.approx(0.6931, abs=1e-3), (
        "before the first step both are as likely as before"
    )
    assert train[-1]["train_loss"] < 0.5 and train[-1]["reward_accuracy"] == 1.0 and train[-1]["reward_margin"] > 0.5
    assert any("validation_loss" in metrics for metrics in losses(folder).values())


@pytest.mark.slow
@pytest.mark.parametrize("more", [{}, {"lora": False}])
def test_a_killed_job_goes_on_to_the_same_loss_and_weights(make_job, more):
    whole = make_job("whole", method="dpo", validation=True, **{**SETTINGS, **more})
    assert finish(whole)["state"] == "succeeded", (whole.path / "worker.log").read_text()

    killed = make_job("killed", method="dpo", validation=True, **{**SETTINGS, **more})
    killed.start()
    wait_for(killed, "train:5")
    if killed.result() is None:
        os.kill(worker_of(killed), signal.SIGKILL)
        while killed.is_running():
            time.sleep(0.01)
    assert finish(killed)["state"] == "succeeded"
    assert losses(killed) == losses(whole)
    assert weights(killed) == weights(whole)
