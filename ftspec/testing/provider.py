"""What core relies on in a provider: one real job, and many questions about it."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest

from ftspec.asking import remote
from ftspec.common.errors import Rejected
from ftspec.common.faults import Culprit
from ftspec.common.jobs import JobState, ModelRef, Request, Size, TunedModel
from ftspec.common.messages import Generation, Question
from ftspec.contracts.abilities import (
    SupportsAdoption,
    SupportsCleanup,
    SupportsDeployment,
    SupportsExport,
    SupportsRender,
)
from ftspec.contracts.provider import Provider
from ftspec.contracts.providercalls import held
from ftspec.testing.component import ComponentSuite
from ftspec.testing.samples import batch_of, example, prompt
from ftspec.testing.world import Unreachable, World, after, deployed, served
from ftspec.tuning.following import Follow, history

MEASURES = {
    "train_loss", "validation_loss", "train_accuracy", "learning_rate", "tokens_per_second", "epoch", "reward_accuracy",
    "reward_margin", "train_reward", "validation_reward",
}  # fmt: skip


class ProviderSuite(ComponentSuite):
    """What core relies on in a provider."""

    model: ClassVar[str] = "tiny"
    method: ClassVar[str] = "sft"
    method_options: ClassVar[Mapping[str, Any]] = {}
    hyperparameters: ClassVar[Mapping[str, Any]] = {}
    follow: ClassVar[Follow] = Follow(wait=300.0)
    _worlds: ClassVar[dict[type, World]] = {}

    def request(self) -> Request:
        """The request of the suite's job, defaults filled in as core does."""
        method = self.component.methods[self.method]
        return Request(
            model=ModelRef(id=self.model),
            method=self.method,
            method_options=msgspec.to_builtins(msgspec.convert(dict(self.method_options), method.options)),
            hyperparameters=msgspec.to_builtins(msgspec.convert(dict(self.hyperparameters), method.hyperparameters)),
        )

    @pytest.fixture
    def world(self, tmp_path_factory: pytest.TempPathFactory) -> World:
        """The suite's one job: made by the first test that asks."""
        if type(self) not in self._worlds:
            culprit = Culprit(f"provider '{self.component.name}'", "see docs/hooks.md")
            provider, home = held(self.component.build(self.options), culprit), tmp_path_factory.mktemp("provider")
            self._worlds[type(self)] = World(provider, self.request(), home, self.follow)
        return self._worlds[type(self)]

    def test_follows_the_protocol(self, world: World) -> None:
        assert self.component.kind == "provider"
        assert isinstance(world.provider, Provider)
        assert world.provider.submission in {"idempotent", "findable", "blind"}
        assert world.provider.endpoint

    def test_what_shapes_data_is_a_hyperparameter(self, world: World) -> None:
        for method in world.provider.methods.values():
            assert {field.name for field in msgspec.structs.fields(method.hyperparameters)} >= set(method.shapes_data)

    def test_a_good_request_has_no_problems(self, world: World) -> None:
        assert list(world.provider.problems(world.request)) == []

    def test_an_estimate_is_not_negative(self, world: World) -> None:
        estimate = world.provider.estimate(world.request, Size(rows=16, validation_rows=4))
        assert all(value is None or value >= 0 for value in (estimate.seconds, estimate.cost, estimate.steps))
        assert estimate.basis, "say where the estimate comes from"

    def test_the_same_rows_are_written_alike(self, world: World) -> None:
        first, second = io.BytesIO(), io.BytesIO()
        written = world.provider.write(world.request, [batch_of(world.shape, 16)], first)
        cut = [batch_of(world.shape, 10), batch_of(world.shape, 6, start=10)]
        world.provider.write(world.request, cut, second)
        assert written.rows == 16
        assert first.getvalue() == second.getvalue(), "what is written may not depend on how rows are batched"

    def test_an_uploaded_file_is_found_again(self, world: World) -> None:
        assert world.provider.upload(world.files[0]) == world.provider.upload(world.files[0])
        assert world.provider.upload(world.files[0]).sha256 == world.files[0].sha256

    def test_the_job_made_a_model(self, world: World) -> None:
        assert world.model.id
        assert world.model.base.id == self.model
        assert msgspec.json.decode(msgspec.json.encode(world.model), type=TunedModel) == world.model

    def test_a_finished_job_is_not_asked_for_again(self, world: World) -> None:
        provider, world.provider = world.provider, Unreachable(world.provider)  # type: ignore[assignment]
        try:
            assert world.tune(self.follow) == world.model
        finally:
            world.provider = provider

    def test_the_job_told_its_loss(self, world: World) -> None:
        events = history(world.store, world.key)
        told = {"train_loss"} if world.shape != "reinforcement" else {"train_loss", "train_reward"}
        steps = [event.step for event in events if event.step is not None and told & set(event.metrics)]
        assert steps, f"no event carries {' or '.join(sorted(told))}"
        assert steps == sorted(steps)
        assert min(steps) >= 1
        assert {name for event in events for name in event.metrics} <= MEASURES

    def test_the_end_can_be_asked_for_again(self, world: World) -> None:
        first = world.provider.poll(world.job, cursor=None)
        assert first.state is JobState.SUCCEEDED
        assert first.model == world.model
        assert len({event.id for event in first.events}) == len(first.events)
        assert {event.id for event in after(world, first)} & {event.id for event in first.events} == set()

    def test_the_key_leads_to_the_job(self, world: World) -> None:
        if world.provider.submission == "idempotent":
            assert world.provider.submit(world.uploaded(), key=world.key).id == world.job.id
        if world.provider.submission == "findable":
            assert [job.id for job in world.provider.find(world.uploaded(), key=world.key)] == [world.job.id]

    def test_another_key_leads_nowhere(self, world: World) -> None:
        assert list(world.provider.find(world.uploaded(), key="0" * 64)) == []

    def test_cancelling_what_has_ended_changes_nothing(self, world: World) -> None:
        world.provider.cancel(world.job)
        world.provider.cancel(world.job)
        assert world.provider.poll(world.job, cursor=None).state is JobState.SUCCEEDED

    @pytest.mark.parametrize("which", ["base", "tuned"])
    def test_every_question_is_answered_once(self, world: World, which: str) -> None:
        questions = [Question(prompt=prompt(n), repeat=repeat, seed=repeat) for n in range(3) for repeat in range(2)]
        with (
            served(world, world.model if which == "tuned" else world.request.model) as model,
            remote.asking(model) as ask,
        ):
            answers = list(ask(questions, Generation(max_tokens=8)))
        asked = sorted((question.prompt.id, question.repeat) for question in questions)
        assert sorted((answer.prompt, answer.repeat) for answer in answers) == asked
        assert [answer.error for answer in answers if answer.error] == []
        greedy = {answer.prompt: answer.text for answer in answers}
        assert all(answer.text == greedy[answer.prompt] for answer in answers), "temperature 0 is greedy decoding"

    def test_a_deployment_is_made_once_and_taken_down(self, world: World) -> None:
        provider = world.provider
        if isinstance(provider, SupportsDeployment) and provider.deploys(world.model):
            standing = deployed(provider, world.model, world.key)
            found = provider.find_deployment(key=world.key)
            assert found is not None and found.id == standing.id
            assert provider.deploy(world.model, key=world.key).id == standing.id, "the same key is the same deployment"
            provider.undeploy(standing)
            provider.undeploy(standing)
            assert provider.deployment(standing) is None
            assert provider.find_deployment(key=world.key) is None

    def test_a_job_can_be_adopted_by_its_id(self, world: World) -> None:
        provider = world.provider
        if isinstance(provider, SupportsAdoption):
            adopted = provider.job(world.uploaded(), world.job.id)
            assert adopted.id == world.job.id
            assert provider.poll(adopted, cursor=None).model == world.model
            with pytest.raises(Rejected):
                provider.job(world.uploaded(), "no-such-job")

    def test_what_lies_there_is_listed(self, world: World) -> None:
        provider = world.provider
        if isinstance(provider, SupportsCleanup):
            listed = list(provider.remote_objects())
            assert {file.sha256 for file in world.files} <= {one.sha256 for one in listed if one.kind == "file"}
            assert world.job.id in {one.job for one in listed if one.kind == "model"}

    def test_tokens_are_shown(self, world: World) -> None:
        if isinstance(world.provider, SupportsRender):
            tokens = world.provider.render(world.request, example(world.shape, 0))
            assert any(token.weight == 0 for token in tokens)
            trained = {weight: "".join(token.text for token in tokens if token.weight == weight) for weight in (1, -1)}
            assert trained[1].strip().startswith("red") or world.shape == "reinforcement"
            assert trained[-1].strip().startswith("green") == (world.shape == "preference")

    def test_models_can_be_taken_away(self, world: World, tmp_path: Path) -> None:
        if isinstance(world.provider, SupportsExport):
            for form in world.provider.exports:
                out = tmp_path / form
                out.mkdir()
                world.provider.export(world.model, form, out)
                assert list(out.iterdir()), f"nothing was written for '{form}'"
