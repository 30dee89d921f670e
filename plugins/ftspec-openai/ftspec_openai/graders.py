"""OpenAI's graders of reinforcement tuning, as options of the method: they run at the service, not in ftspec.

Their fields are those of the API, in its words; see https://developers.openai.com/api/docs/guides/graders. Texts may
hold templates: `{{ item.column }}` is a column of the row, `{{ sample.output_text }}` the model's answer.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

Named = Annotated[str, Meta(description="Its name in the service's metrics.", min_length=1)]
Input = Annotated[str, Meta(description="The text being graded; may hold templates.")]
Reference = Annotated[str, Meta(description="What it is compared with; may hold templates.")]


class StringCheck(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="string_check"):
    """Compare two texts."""

    input: Input
    reference: Reference
    operation: Annotated[
        Literal["eq", "ne", "like", "ilike"],
        Meta(description="Equal, not equal, contained, or contained whatever the case."),
    ] = "eq"
    name: Named = "string_check"


class TextSimilarity(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="text_similarity"
):
    """How alike two texts are, between 0 and 1."""

    input: Input
    reference: Reference
    evaluation_metric: Literal[
        "cosine", "fuzzy_match", "bleu", "gleu", "meteor", "rouge_1", "rouge_2", "rouge_3", "rouge_4", "rouge_5",
        "rouge_l",
    ] = "fuzzy_match"  # fmt: skip
    name: Named = "text_similarity"


class ScoreModel(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="score_model"):
    """A model that gives a score."""

    model: Annotated[str, Meta(description="The model that judges.", min_length=1)]
    input: Annotated[
        list[dict[str, Any]],
        Meta(description="Messages to it, with role and content; may hold templates.", min_length=1),
    ]
    range: Annotated[tuple[float, float], Meta(description="Lowest and highest score.")] = (0.0, 1.0)
    sampling_params: dict[str, Any] | None = None
    name: Named = "score_model"


class Python(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="python"):
    """A function `grade(sample, item)` that runs at the service and returns a number."""

    source: Annotated[str, Meta(description="The code; 256 kB at the most.", min_length=1, max_length=256 * 1024)]
    image_tag: Annotated[str | None, Meta(description="The image it runs in.")] = None
    name: Named = "python"


Single = StringCheck | TextSimilarity | ScoreModel | Python


class Multi(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="multi"):
    """Several graders, and a formula that makes one score of theirs."""

    graders: Annotated[dict[str, Single], Meta(description="By the names that the formula uses.", min_length=1)]
    calculate_output: Annotated[str, Meta(description="The formula, e.g. 0.8 * exact + 0.2 * style.", min_length=1)]
    name: Named = "multi"


Grader = StringCheck | TextSimilarity | ScoreModel | Python | Multi
