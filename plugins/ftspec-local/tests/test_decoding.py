"""Decoding: greedy answers are transformers' own, whatever is asked together; samples follow their seeds."""

import pytest
import torch
from ftspec_local.decoding import Ask, Decoder, Sampling, common_prefix, draw


@pytest.fixture(scope="module")
def model(model_folder):
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32)


def prompts(count, prefix=(5, 6, 7, 8)):
    generator = torch.Generator().manual_seed(1)
    lengths = [1 + i % 9 for i in range(count)]
    return [(*prefix, *torch.randint(3, 250, (n,), generator=generator).tolist()) for n in lengths]


def answers(decoder, asks, sampling):
    return {
        (reply.ask.number, reply.repeat): (reply.tokens, reply.ended)
        for replies in decoder.replies(asks, sampling)
        for reply in replies
    }


@pytest.mark.parametrize("rows_per_batch", [3, 100])
@pytest.mark.parametrize("prefix", [(), (5, 6, 7, 8)])
def test_greedy_answers_equal_generate(model, rows_per_batch, prefix):
    asks = [Ask(i, tokens, (0,)) for i, tokens in enumerate(prompts(12, prefix))]
    stops = frozenset(range(60))  # many, so that rows end at different times
    ours = answers(Decoder(model, stops, rows_per_batch=rows_per_batch), asks, Sampling(max_tokens=12))
    for ask in asks:
        theirs = model.generate(
            torch.tensor([ask.tokens]), do_sample=False, max_new_tokens=12, eos_token_id=sorted(stops), pad_token_id=0
        )[0, len(ask.tokens) :].tolist()
        ended = theirs[-1] in stops
        assert ours[ask.number, 0] == (theirs[:-1] if ended else theirs, ended)


def test_an_answer_depends_on_its_seed_and_not_on_its_neighbours(model):
    sampling = Sampling(temperature=1.5, max_tokens=8)
    asks = [Ask(i, tokens, (i, i + 100, 7)) for i, tokens in enumerate(prompts(8))]
    together = answers(Decoder(model, frozenset()), asks, sampling)
    alone = [answers(Decoder(model, frozenset()), [ask], sampling) for ask in asks]
    assert together == {key: value for one in alone for key, value in one.items()}
    assert together[0, 0] != together[0, 1]


def test_a_stop_condition_ends_an_answer(model):
    ask = Ask(0, prompts(1)[0], (0,))
    found = answers(Decoder(model, frozenset(), lambda tokens: len(tokens) >= 3), [ask], Sampling(max_tokens=9))
    assert len(found[0, 0][0]) == 3 and found[0, 0][1]


@pytest.mark.parametrize("top_p", [1.0, 0.6])
def test_draws_follow_the_distribution(top_p):
    shares = torch.tensor([0.1, 0.5, 0.1, 0.3])
    points = (torch.arange(1000) + 0.5) / 1000
    counts = torch.bincount(draw(shares.log().expand(1000, 4), top_p, points), minlength=4) / 1000
    wanted = shares if top_p == 1.0 else torch.tensor([0.0, 0.625, 0.0, 0.375])
    assert torch.allclose(counts, wanted, atol=0.005)


@pytest.mark.parametrize(
    ("prompts", "prefix"),
    [([(1, 2, 3), (1, 2, 4)], (1, 2)), ([(1, 2), (1, 2, 4)], (1,)), ([(1, 2)], ()), ([(1,), (2,)], ())],
)
def test_common_prefix_leaves_a_token_of_each(prompts, prefix):
    assert common_prefix(prompts) == prefix
