"""Rendering equals transformers' own, marks what the assistant wrote, and refuses what would become control tokens."""

import pytest
import tiny
from ftspec_local.render import Renderer, RenderError
from ftspec_local.template import ChatTemplate, TemplateFault

MARKED = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{% if message.role == 'assistant' %}{% generation %}{{ message.content }}<|im_end|>{% endgeneration %}\n"
    "{% else %}{{ message.content }}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
FANCY = (
    "{{ bos_token }}{%- for message in messages if message.role != 'system' %}\n"
    "    {%- if loop.index > 3 %}{% break %}{% endif %}\n"
    "    {%- set text = message.content | trim %}\n"
    "[{{ message.role | upper }}] {{ {'t': text, 'é': 1} | tojson }}{{ eos_token }}\n{%- endfor %}"
    "{% if tools %}{{ tools | tojson(indent=2) }}{% endif %}{% if add_generation_prompt %}[ASSISTANT]{% endif %}"
)
TURNS = [
    {"role": "user", "content": "the cat"},
    {"role": "assistant", "content": "sat"},
    {"role": "user", "content": "on a mat"},
    {"role": "assistant", "content": "yes  no\n"},
]
TOOLS = [{"type": "function", "function": {"name": "sat", "description": "<a> & 'b'", "parameters": {}}}]


@pytest.fixture(scope="module")
def tokenizer():
    return tiny.make_tokenizer()


def renderer_for(tokenizer, folder, template=None):
    tokenizer.chat_template = template or tiny.TEMPLATE
    tokenizer.save_pretrained(folder)
    return Renderer.from_folder(folder)


def trained_text(rendered) -> str:
    return "".join(text for text, trained in zip(rendered.texts, rendered.trained, strict=True) if trained)


@pytest.mark.parametrize("template", [tiny.TEMPLATE, MARKED, FANCY])
@pytest.mark.parametrize("tools", [None, TOOLS])
@pytest.mark.parametrize("count", [1, 2, 4])
def test_equals_transformers(tokenizer, tmp_path, template, tools, count):
    renderer = renderer_for(tokenizer, tmp_path, template)
    ours = renderer.prompt(TURNS[:count], tools)
    theirs = tokenizer.apply_chat_template(TURNS[:count], tools, add_generation_prompt=True, return_dict=False)
    assert ours == theirs


def test_generation_marks_equal_transformers_mask(tokenizer, tmp_path):
    rendered = renderer_for(tokenizer, tmp_path, MARKED).example(TURNS)
    theirs = tokenizer.apply_chat_template(TURNS, return_dict=True, return_assistant_tokens_mask=True)
    assert rendered.ids == theirs["input_ids"]
    assert [int(trained) for trained in rendered.trained] == theirs["assistant_masks"]


@pytest.mark.parametrize("template", [tiny.TEMPLATE, MARKED])
@pytest.mark.parametrize(
    ("train_on", "text"),
    [("assistant", "sat<|im_end|>yes  no\n<|im_end|>"), ("last", "yes  no\n<|im_end|>")],
)
def test_trains_the_assistants_words_and_its_end_token(tokenizer, tmp_path, template, train_on, text):
    assert trained_text(renderer_for(tokenizer, tmp_path, template).example(TURNS, None, train_on)) == text


def test_train_on_all_covers_everything(tokenizer, tmp_path):
    assert all(renderer_for(tokenizer, tmp_path).example(TURNS, None, "all").trained)


@pytest.mark.parametrize("train_on", ["assistant", "all"])
def test_weight_zero_mutes_a_message(tokenizer, tmp_path, train_on):
    turns = [dict(turn) for turn in TURNS]
    turns[1]["weight"] = 0
    text = trained_text(renderer_for(tokenizer, tmp_path).example(turns, None, train_on))
    assert "sat" not in text and text.endswith(("yes  no\n<|im_end|>", "yes  no\n<|im_end|>\n"))


def test_a_prompt_is_the_beginning_of_its_example(tokenizer, tmp_path):
    renderer = renderer_for(tokenizer, tmp_path)
    prompt, example = renderer.prompt(TURNS[:3]), renderer.example(TURNS, None, "last")
    assert example.ids[: len(prompt)] == prompt
    assert example.trained[len(prompt)] and not any(example.trained[: len(prompt)])


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        ([{"role": "user", "content": "end <|im_end|> it"}], "control token '<|im_end|>'"),
        ([{"role": "bot", "content": "x"}], "unknown role 'bot'"),
        ([], "no messages"),
        ([{"role": "user", "content": [{"type": "image_url"}]}], "not text"),
        ([{"role": "user", "content": "only a question"}], "nothing in this row is trained on"),
        ([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "weight": 0.5}], "weight 0.5"),
        (
            [
                {"role": "user", "content": "a"},
                {"role": "assistant", "tool_calls": [{"function": {"name": "look_up", "arguments": "{}"}}]},
            ],
            "does not show the tool 'look_up'",
        ),
        (
            [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{not json"}}]}],
            "are not JSON",
        ),
    ],
)
def test_a_row_that_cannot_be_rendered_says_why(tokenizer, tmp_path, messages, message):
    with pytest.raises(RenderError) as fault:
        renderer_for(tokenizer, tmp_path).example(messages)
    assert message in str(fault.value)


def test_a_template_that_rewrites_earlier_turns_is_a_clear_error(tokenizer, tmp_path):
    template = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if loop.last %}!{% endif %}{{ m.content }}<|im_end|>\n"
        "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    renderer = renderer_for(tokenizer, tmp_path, template)
    with pytest.raises(RenderError, match="depending on what follows"):
        renderer.example(TURNS)


def test_developer_becomes_system_where_the_template_does_not_know_it(tokenizer, tmp_path):
    renderer = renderer_for(tokenizer, tmp_path)
    as_system = renderer.prompt([{"role": "system", "content": "a"}, TURNS[0]])
    assert renderer.prompt([{"role": "developer", "content": "a"}, TURNS[0]]) == as_system


def test_text_parts_are_joined(tokenizer, tmp_path):
    renderer = renderer_for(tokenizer, tmp_path)
    parts = [{"type": "text", "text": "the "}, {"type": "text", "text": "cat"}]
    assert renderer.prompt([{"role": "user", "content": parts}]) == renderer.prompt(TURNS[:1])


def test_templates_are_sandboxed():
    template = ChatTemplate("{{ messages.__class__.__mro__ }}", {})
    with pytest.raises(TemplateFault):
        template.render([{"role": "user"}])


def test_what_a_template_raises_is_the_message():
    template = ChatTemplate("{{ raise_exception('roles must alternate') }}", {})
    with pytest.raises(TemplateFault, match="roles must alternate"):
        template.render([{"role": "user", "content": "x"}])


def test_no_torch_is_imported():
    import subprocess
    import sys

    code = (
        "import sys, ftspec_local.render, ftspec_local.provider, ftspec_local\n"
        "heavy = {'torch', 'transformers', 'numpy', 'pyarrow', 'tokenizers'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
