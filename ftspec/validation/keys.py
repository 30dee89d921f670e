"""The keys of a spec that core itself knows, as JSON Schema.

A table: its bounds, defaults and descriptions are what editors, the reference page and error messages show.
"""

from __future__ import annotations

from ftspec.common.figures import DURATION
from ftspec.validation.places import ID, PATTERN, Schema

VERSION = 1
DEFAULT_METHOD = "sft"

_SHARE = {
    "if": {"type": "string"},
    "then": {"minLength": 1},
    "else": {"type": ["number", "string"], "minimum": 0, "exclusiveMaximum": 1},
    "default": 0.0,
}

_SPLIT: Schema = {
    "type": "object",
    "description": "How rows are divided. Sides follow from a source row's content, so a row never changes sides.",
    "properties": {
        "validation": {
            **_SHARE,
            "description": "Share of rows for validation during training, or the `id` of a source that is all of it.",
        },
        "test": {**_SHARE, "description": "Share of rows held out for `eval`, or the `id` of a source."},
        "seed": {"type": "integer", "default": 0, "description": "Another seed divides the rows differently."},
        "by": {
            "type": "string",
            "default": "",
            "description": "A column whose equal values stay on one side, e.g. `conversation_id`; else the whole row.",
        },
    },
    "additionalProperties": False,
}

_MIX: Schema = {
    "type": "object",
    "description": "Mix the sources row by row, by their `weight`; without it they are read one after the other.",
    "properties": {
        "seed": {"type": "integer", "default": 0, "description": "Another seed mixes the rows differently."},
        "until": {
            "if": {"type": "string"},
            "then": {"enum": ["first_exhausted", "all_exhausted"]},
            "else": {"type": ["integer", "string"], "minimum": 1},
            "default": "first_exhausted",
            "description": "When the mixture ends: a source has ended, all have (one that ends earlier begins anew), "
            "or so many rows are there.",
        },
    },
    "additionalProperties": False,
}

_GENERATION: Schema = {
    "type": "object",
    "description": "How answers are sampled, from base and tuned model alike.",
    "properties": {
        "temperature": {
            "type": "number",
            "minimum": 0,
            "maximum": 2,
            "default": 0.0,
            "description": "0 is greedy decoding.",
        },
        "max_tokens": {
            "type": "integer",
            "minimum": 1,
            "default": 256,
            "description": "The longest answer, in tokens.",
        },
        "top_p": {
            "type": "number",
            "exclusiveMinimum": 0,
            "maximum": 1,
            "default": 1.0,
            "description": "Sample from the smallest set of tokens that has this much of the probability.",
        },
        "stop": {
            "type": "array",
            "items": {"type": "string", "minLength": 1},
            "default": [],
            "description": "Texts that end an answer.",
        },
    },
    "additionalProperties": False,
}

_FOLLOW: Schema = {
    "type": "object",
    "description": "How the tuning job is followed. None of it makes another job of one that exists.",
    "properties": {
        "stall": {
            "if": {"type": "string"},
            "then": {
                "pattern": f"^(?=.*[1-9]){DURATION}$",
                PATTERN: "Write a number above 0 and a unit, as `90m`, `6h` or `1d`.",
            },
            "else": {"type": ["number", "string"], "exclusiveMinimum": 0},
            "default": "1d",
            "description": "How long a job may show no sign of life before it is left, as `90m`, `6h` or `1d`.",
        },
        "early_stopping": {
            "type": "object",
            "description": "End the job when its loss no longer falls, where the provider can end one early.",
            "properties": {
                "metric": {
                    "enum": ["validation_loss", "train_loss"],
                    "default": "validation_loss",
                    "description": "What must go on falling; the validation loss needs `split: {validation: ...}`.",
                },
                "patience": {
                    "type": "integer",
                    "minimum": 1,
                    "default": 3,
                    "description": "So many values in a row that are no better than the best.",
                },
                "min_delta": {
                    "type": "number",
                    "minimum": 0,
                    "default": 0.0,
                    "description": "How much lower a value must be to be better.",
                },
            },
            "additionalProperties": False,
        },
        "checkpoint": {
            "enum": ["last", "best"],
            "default": "last",
            "description": "The job's model: its last state, or the checkpoint of the lowest validation loss.",
        },
    },
    "additionalProperties": False,
}

_MODEL: Schema = {
    "description": "The base model: the provider's name for it, a hub id, or a folder (`./folder`).",
    "if": {"type": "object"},
    "then": {
        "properties": {
            "id": {"type": "string", "minLength": 1, "description": "Name, hub id or folder."},
            "revision": {"type": "string", "minLength": 1, "description": "A commit or tag of the hub."},
        },
        "required": ["id"],
        "additionalProperties": False,
    },
    "else": {"type": ["string", "object"], "minLength": 1},
}

_NAMED: Schema = {
    "type": "object",
    "description": "One of `model` (of the spec's provider, or of the `provider` given here), `run` and `checkpoints`.",
    "properties": {
        "id": {**ID, "description": "What reports and gates call it; else the model's or the run's own name."},
        "model": {**_MODEL, "description": "Another model by name: a provider's name for it, a hub id, or a folder."},
        "provider": {"$ref": "#/$defs/provider", "description": "Who answers for `model`; else the spec's provider."},
        "run": {
            "type": "string",
            "minLength": 1,
            "description": "The tuned model of an earlier run: its id, the beginning of one, or a spec file.",
        },
        "checkpoints": {
            "enum": ["all", "best"],
            "description": "Checkpoints of this run's job; `best` shows the one of them that passes most often, "
            "chosen by prompts with the tag `validation` and shown on the others where there are both.",
        },
    },
    "additionalProperties": False,
}

_EVAL: Schema = {
    "type": "object",
    "description": "What base and tuned model are asked, and how answers are graded.",
    "properties": {
        "prompts": {
            "type": "array",
            "minItems": 1,
            "items": {"$ref": "#/$defs/prompt"},
            "description": "Sides of the split (`- split: test`) or sources.",
        },
        "graders": {
            "type": "array",
            "minItems": 1,
            "items": {"$ref": "#/$defs/grader"},
            "description": "An answer passes when every grader of weight above 0 passes it.",
        },
        "models": {
            "type": "array",
            "items": _NAMED,
            "default": [],
            "description": "Further models that answer the same prompts, beside base and tuned model.",
        },
        "generation": _GENERATION,
        "repeat": {
            "type": "integer",
            "minimum": 1,
            "maximum": 1000,
            "default": 1,
            "description": "How often each prompt is asked; consistency needs 2 or more.",
        },
        "seed": {"type": "integer", "minimum": 0, "default": 0, "description": "Where sampling starts."},
        "tags": {
            "type": "array",
            "items": {"type": "string", "minLength": 1},
            "default": [],
            "description": "Columns that sort prompts into slices: a list's entries are tags, any other "
            "value makes the tag `column=value`.",
        },
        "weight": {
            "type": "string",
            "minLength": 1,
            "description": "The column that says how much a prompt counts; 1 where a row has none.",
        },
        "asserts": {
            "type": "string",
            "minLength": 1,
            "description": "The column that holds a prompt's own graders, a list as in `graders`: they grade its "
            "answers, beside those. They get no secret, and no provider with options that the spec does not name.",
        },
    },
    "required": ["prompts"],
    "additionalProperties": False,
}

_BUDGET: Schema = {
    "type": "object",
    "description": "A hard cap on what tuning and evaluation of a run cost together.",
    "properties": {
        "max": {"type": "number", "exclusiveMinimum": 0, "description": "So much may be spent, in `currency`."},
        "currency": {
            "type": "string",
            "pattern": "^[A-Z]{3}$",
            PATTERN: "Write three capital letters, as USD or EUR.",
            "default": "USD",
            "description": "As in the tables of prices: amounts are never converted.",
        },
        "when_unknown": {
            "enum": ["refuse", "allow"],
            "description": "What is done when a price or a number of tokens is not known: stop, or go on uncounted.",
        },
    },
    "required": ["max", "when_unknown"],
    "additionalProperties": False,
}

_COSTS: Schema = {
    "type": "object",
    "description": "Where prices come from, and what serving is compared with.",
    "properties": {
        "prices": {
            "type": "array",
            "items": {"type": "string", "minLength": 1},
            "default": [],
            "description": "Tables of prices and retirement days, relative to the spec; they count before ours.",
        },
        "larger": {
            "type": "string",
            "default": "",
            "description": "A larger model that the tuned one may replace: the report compares what serving costs.",
        },
        "larger_at": {
            "type": "string",
            "default": "",
            "description": "The endpoint where the larger model answers; the spec's own when not given.",
        },
    },
    "additionalProperties": False,
}

_METHOD: Schema = {
    "description": "How to train, by name, or with options as in `{dpo: {beta: 0.1}}`.",
    "default": DEFAULT_METHOD,
    "if": {"type": "object"},
    "then": {"minProperties": 1, "maxProperties": 1},
    "else": {"type": ["string", "object"]},
}

KEYS: dict[str, Schema] = {
    "version": {"const": VERSION, "description": "The version of the spec format."},
    "name": {**ID, "description": "What runs, reports and models are called: letters, digits, '.', '_' and '-'."},
    "requires": {
        "type": "array",
        "items": {"type": "string", "minLength": 1},
        "default": [],
        "description": 'Distributions that must be installed, e.g. `"ftspec-local>=0.1"`; looked at before all else.',
    },
    "sources": {
        "type": "array",
        "minItems": 1,
        "items": {"$ref": "#/$defs/source"},
        "description": "Where rows come from, in order.",
    },
    "cleaning": {
        "type": "array",
        "items": {"$ref": "#/$defs/cleaner"},
        "default": [],
        "description": "Steps that change or drop rows, in order.",
    },
    "format": {
        "$ref": "#/$defs/format",
        "description": "How a row becomes messages; not needed where rows already hold `messages`.",
    },
    "split": _SPLIT,
    "mix": _MIX,
    "checks": {
        "type": "array",
        "items": {"$ref": "#/$defs/check"},
        "default": [],
        "description": "What must hold of the formatted data before anything is trained.",
    },
    "provider": {"$ref": "#/$defs/provider", "description": "The tuner."},
    "model": _MODEL,
    "method": _METHOD,
    "hyperparameters": {
        "type": "object",
        "default": {},
        "description": "What the provider takes for the method, with its bounds.",
    },
    "follow": _FOLLOW,
    "eval": _EVAL,
    "gates": {
        "type": "array",
        "items": {"$ref": "#/$defs/gate"},
        "default": [],
        "description": "What the evaluation must show; a gate that says no ends the run with exit code 4.",
    },
    "engine": {"$ref": "#/$defs/engine", "description": "What runs the per-batch part of the pipeline."},
    "budget": _BUDGET,
    "costs": _COSTS,
}

REQUIRED = ("version", "name", "sources", "provider", "model")

STAGES = "stages"
"""Reserved for chains of methods (sft, then dpo)."""
