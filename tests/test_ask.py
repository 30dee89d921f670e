"""Asking: every question once, kept as it arrives, an error retried once, resumed where a killed run stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import pytest

from ftspec.asking import ask as asking
from ftspec.asking import remote
from ftspec.asking.ask import Round, ask
from ftspec.common.errors import PluginError, Transient
from ftspec.common.messages import Answer, Generation, Message, Model, Prompt, Question
from ftspec.common.progress import Quiet

WARM = Generation(temperature=0.7)
GREEDY = Generation()


class Echo:
    """Answers in reverse order; fails the questions named in `failing` as often as said there."""

    def __init__(self, failing: dict[tuple[str, int], int] | None = None) -> None:
        self.failing = dict(failing or {})
        self.asked: list[Question] = []

    def answer(self, questions: Sequence[Question], generation: Generation) -> Iterator[Answer]:
        for question in reversed(questions):
            self.asked.append(question)
            key = (question.prompt.id, question.repeat)
            self.failing[key] = self.failing.get(key, 0) - 1
            if self.failing[key] >= 0:
                yield Answer(prompt=key[0], repeat=key[1], error="boom")
            else:
                yield Answer(prompt=key[0], repeat=key[1], text=f"{key[0]} {key[1]} {question.seed}")


class Recorder(Quiet):
    def __init__(self) -> None:
        self.notes: list[str] = []
        self.done: list[float] = []

    def advance(self, done: float, *, total: float | None = None, detail: str = "") -> None:
        self.done.append(done)

    def note(self, message: str) -> None:
        self.notes.append(message)


def prompt(name: str) -> Prompt:
    return Prompt(id=name, messages=[Message(role="user", content=name)])


def run(
    model: Model,
    prompts: Sequence[Prompt],
    generation: Generation = WARM,
    *,
    repeat: int = 3,
    done: Iterable[Answer] = (),
    keep: Callable[[Answer], None] | None = None,
    progress: Quiet | None = None,
) -> list[Answer]:
    """Ask, and read the answers back as a run does: in the questions' order here."""
    wanted = Round(prompts, generation, repeat=repeat, seed=7)
    kept = list(done)
    for answer in kept:
        wanted.note(answer)
    with remote.asking(model) as answers:
        ask(answers, wanted, label="base", keep=keep or kept.append, progress=progress or Quiet())
    return sorted(wanted.answers(kept), key=lambda answer: wanted.place(answer) or 0)


def keys(answers: Sequence[Answer]) -> list[tuple[str, int]]:
    return [(answer.prompt, answer.repeat) for answer in answers]


def seeds(names: str, repeat: int) -> dict[tuple[str, int], int]:
    wanted = Round([prompt(name) for name in names], WARM, repeat=repeat, seed=7)
    return {(question.prompt.id, question.repeat): question.seed for question in wanted.missing()}


def test_every_question_is_answered_once() -> None:
    found = run(Echo(), [prompt("b"), prompt("a")])
    assert keys(found) == [("b", 0), ("b", 1), ("b", 2), ("a", 0), ("a", 1), ("a", 2)]


def test_greedy_decoding_asks_once_whatever_repeat_says() -> None:
    assert keys(run(Echo(), [prompt("a")], GREEDY)) == [("a", 0)]


def test_seeds_differ_per_question_and_depend_on_nothing_else() -> None:
    alone, among = seeds("a", 3), seeds("za", 3)
    assert alone == {key: seed for key, seed in among.items() if key[0] == "a"}
    assert len(set(seeds("ab", 5).values())) == 10
    assert asking.question_seed(7, "a", 0) == 1865861993  # fixed for good: another hash would ask everything anew
    assert all(0 <= asking.question_seed(seed, "a", 0) < 2**31 for seed in range(100))


def test_what_was_kept_is_not_asked_again_but_its_errors_are() -> None:
    done = [Answer(prompt="a", repeat=0, text="kept"), Answer(prompt="a", repeat=1, error="lost")]
    done += [Answer(prompt="gone", repeat=0, text="of another spec"), Answer(prompt="a", repeat=9, text="or repeat")]
    model = Echo()
    found = run(model, [prompt("a")], done=done)
    assert sorted(q.repeat for q in model.asked) == [1, 2]
    assert found[0].text == "kept"
    assert [answer.error for answer in found] == ["", "", ""]
    assert keys(found) == [("a", 0), ("a", 1), ("a", 2)]


def test_an_answer_that_was_kept_twice_counts_once() -> None:
    done = [Answer(prompt="a", repeat=0, text="one"), Answer(prompt="a", repeat=0, text="two")]
    assert [answer.text for answer in run(Echo(), [prompt("a")], GREEDY, done=done)] == ["one"]


def test_an_error_is_retried_once_and_kept_only_when_it_stays() -> None:
    kept: list[Answer] = []
    progress = Recorder()
    model = Echo({("a", 0): 1, ("b", 1): 9})
    run(model, [prompt("a"), prompt("b")], keep=kept.append, progress=progress, repeat=2)
    assert len(model.asked) == 4 + 2
    assert sorted(keys(kept)) == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
    assert [answer.error for answer in kept if answer.error] == ["boom"]
    assert "2 of 4 questions to the base model failed" in progress.notes[0]
    assert "1 of 2" in progress.notes[1]
    assert progress.done[-1] == 4


def test_a_silent_model_is_an_error_per_question() -> None:
    class Silent:
        def answer(self, questions: Sequence[Question], generation: Generation) -> Iterator[Answer]:
            return iter(())

    assert [answer.error for answer in run(Silent(), [prompt("a")], repeat=1)] == ["the model gave no answer"]


def test_what_arrived_is_kept_when_the_model_raises() -> None:
    class Dies:
        def answer(self, questions: Sequence[Question], generation: Generation) -> Iterator[Answer]:
            yield Answer(prompt="a", repeat=0, text="yes")
            raise Transient("gone away")

    kept: list[Answer] = []
    with pytest.raises(Transient):
        run(Dies(), [prompt("a")], keep=kept.append)
    assert keys(kept) == [("a", 0)]


def test_an_answer_is_kept_before_the_next_question() -> None:
    kept: list[Answer] = []

    class Watches:
        def answer(self, questions: Sequence[Question], generation: Generation) -> Iterator[Answer]:
            for number, question in enumerate(questions):
                assert len(kept) == number
                yield Answer(prompt=question.prompt.id, repeat=question.repeat, text="yes")

    run(Watches(), [prompt(str(i)) for i in range(5)], GREEDY, keep=kept.append)
    assert len(kept) == 5


def test_a_model_of_its_own_batches_gets_questions_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "CHUNK", 10)
    sizes: list[int] = []

    class Counts(Echo):
        def answer(self, questions: Sequence[Question], generation: Generation) -> Iterator[Answer]:
            sizes.append(len(questions))
            yield from super().answer(questions, generation)

    assert len(run(Counts(), [prompt(str(i)) for i in range(25)], GREEDY)) == 25
    assert sizes == [10, 10, 5]


@pytest.mark.parametrize("answer", [("b", 0), ("a", 9)])
def test_an_answer_to_another_question_is_the_providers_fault(answer: tuple[str, int]) -> None:
    class Confused:
        def answer(self, questions: Sequence[Question], generation: Generation) -> Iterator[Answer]:
            yield Answer(prompt=answer[0], repeat=answer[1], text="hm")

    with pytest.raises(PluginError, match="not asked"):
        run(Confused(), [prompt("a")])


def test_an_answer_that_comes_twice_is_the_providers_fault() -> None:
    class Twice:
        def answer(self, questions: Sequence[Question], generation: Generation) -> Iterator[Answer]:
            yield from [Answer(prompt="a", repeat=0, text="hm")] * 2

    with pytest.raises(PluginError, match="not asked"):
        run(Twice(), [prompt("a")])
