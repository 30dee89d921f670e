"""What models say: the expected answer, or not, by chance that is always the same."""

from __future__ import annotations

from .chance import unit
from .deployments import get_deployment
from .jobs import get_job, model_of
from .state import Json, Refusal, State


def answers(state: State, order: Json) -> list[Json]:
    """Answers by the base model (its name and behaviour come along) or by a job's model."""
    if order["job"]:
        job = get_job(state, order["job"])
        if job.get("model_deleted"):
            raise Refusal(404, f"no such model: {model_of(job)}")
        if order.get("deployment") and not get_deployment(state, order["deployment"])["ready"]:
            raise Refusal(409, "the deployment is not ready")
        behaviour, share, name = job["behaviour"], job["behaviour"]["accuracy"], job["training"]["sha256"]
    else:
        behaviour, share, name = order["behaviour"], order["behaviour"]["base_accuracy"], order["model"]
    return [answer(question, share, behaviour["noise"], name, order["generation"]) for question in order["questions"]]


def answer(question: Json, share: float, noise: float, model: str, generation: Json) -> Json:
    """The expected answer to `share` of the prompts, else one that is wrong. With a temperature, a share of `noise`
    answers is drawn anew for each repeat: accuracy stays, consistency falls."""
    right = unit(model, question["prompt"]) < share
    drawn = (model, question["prompt"], question["repeat"], question["seed"])
    if generation["temperature"] > 0 and unit("noise", *drawn) < noise:
        right = unit("again", *drawn) < share
    expected = question["expected"]
    text = ("(simulated)" if expected is None else expected) if right else "(simulated) some other answer"
    for stop in generation["stop"]:
        text = text.partition(stop)[0]
    words = text.split()
    cut = len(words) > generation["max_tokens"]
    if cut:
        text, words = " ".join(words[: generation["max_tokens"]]), words[: generation["max_tokens"]]
    return {"text": text, "completion_tokens": len(words), "finish_reason": "length" if cut else "stop"}
