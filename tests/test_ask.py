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
    assert (
        asking.question_seed(7, "a", 0) == alone["a", 0] == 1865861993
    )  # fixed for good: another hash would ask everything anew
    assert all(0 <= asking.question_seed(seed, "a", 0) < 2**31 for seed in range(100))


def test_what_was_kept_is_not_asked_again_but_its_errors_are() -> None:
    done = [Answer(prompt="a", repeat=0, text="kept"), Answer(prompt="a", repeat=1, error="lost")]
    done += [Answer(prompt="a", repeat=0, error="of another process, which asked as well")]
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
    done = [Answer(prompt="b", repeat=1, error="of an earlier run")]
    run(model, [prompt("a"), prompt("b")], done=done, keep=kept.append, progress=progress, repeat=2)
    assert len(model.asked) == 4 + 2
    assert sorted(keys(kept)) == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
    assert [answer.error for answer in kept if answer.error] == ["boom"]
    failed = "questions to the base model failed, the first with: boom; "
    assert progress.notes == [
        f"2 of 4 {failed}asking them once more",
        f"1 of 2 {failed}they count neither as passed nor as failed",
    ]
    assert progress.done[-1] == 4


def test_an_error_that_stays_is_the_answer_with_its_own_words() -> None:
    found = run(Echo({("a", 0): 9}), [prompt("a"), prompt("b")], GREEDY)
    assert [answer.error for answer in found] == ["boom", ""]


def test_what_failed_on_the_way_already_is_not_asked_once_more() -> None:
    model, wanted, heard = Echo({("a", 0): 9}), Round([prompt("a")], GREEDY, repeat=1, seed=7), []
    with remote.asking(model) as answers:
        kept: list[Answer] = []
        ask(answers, wanted, label="base", keep=kept.append, progress=Quiet(), again=False, tell=heard.append)
    assert (len(model.asked), [answer.error for answer in kept]) == (1, ["boom"])
    assert len(heard) == 1


def test_a_prompt_that_is_asked_anew_gets_the_repeats_after_the_known_ones() -> None:
    wanted = Round([prompt("a"), prompt("b")], WARM, repeat=2, seed=7)
    early = [Answer(prompt=name, repeat=repeat, text="early") for name in "ab" for repeat in range(2)]
    for answer in early:
        wanted.note(answer)
    assert list(wanted.given()) == ["a", "b"]
    wanted.ask_anew("a")
    assert list(wanted.given()) == ["b"]
    assert [(question.prompt.id, question.repeat) for question in wanted.missing()] == [("a", 2), ("a", 3)]
    late = [Answer(prompt="a", repeat=repeat, text="late") for repeat in (2, 3)]
    for answer in late:
        wanted.note(answer)
    assert (wanted.known, list(wanted.given())) == (4, ["a", "b"])
    assert keys(sorted(wanted.answers([*early, *late]), key=wanted.order)) == [("a", 2), ("a", 3), ("b", 0), ("b", 1)]


def test_a_silent_model_is_an_error_per_question() -> None:
    class Silent:
        def answer(self, questions: Sequence[Question], generation: Generation) -> Iterator[Answer]:
            return iter(())

    progress = Recorder()
    found = run(Silent(), [prompt("a")], repeat=1, progress=progress)
    assert [answer.error for answer in found] == ["the model gave no answer"]
    assert "the first with: the model gave no answer" in progress.notes[0]


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


@pytest.mark.parametrize("error", ["", "boom"])
def test_an_answer_that_comes_twice_is_the_providers_fault(error: str) -> None:
    class Twice:
        def answer(self, questions: Sequence[Question], generation: Generation) -> Iterator[Answer]:
            yield from [Answer(prompt="a", repeat=0, text="hm", error=error)] * 2

    with pytest.raises(PluginError, match="not asked"):
        run(Twice(), [prompt("a")])


def test_an_answer_to_what_is_known_is_the_providers_fault() -> None:
    class Eager:
        def answer(self, questions: Sequence[Question], generation: Generation) -> Iterator[Answer]:
            yield Answer(prompt="a", repeat=0, text="again")

    with pytest.raises(PluginError, match="not asked"):
        run(Eager(), [prompt("a")], done=[Answer(prompt="a", repeat=0, text="kept")])
