"""Write the small data sets of orders.yaml, legacy-pairs.yaml, tools.yaml, local-dpo.yaml and simulated.yaml.

    python specs/data/make_examples.py

Everything is made up here, from a seed: the same script writes the same bytes.
"""

import csv
import io
import json
import random
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from pathlib import Path

SEED = 11
HERE = Path(__file__).parent

CITIES = ["Turin", "Porto", "Ghent", "Graz", "Lyon", "Malmö", "Bergen", "Kraków", "Zürich", "Cork", "Split", "Tartu"]
GOODS = ["kettle", "desk lamp", "backpack", "blender", "headset", "rain jacket", "office chair", "tent", "camera"]
PRAISE = ["works as promised", "arrived early", "feels solid", "is better than my old one", "was easy to set up"]
BLAME = ["broke after a week", "arrived scratched", "is louder than it should be", "never worked", "smells odd"]


def write_lines(name: str, rows: Iterable[dict[str, object]]) -> None:
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (HERE / name).write_text(text, encoding="utf-8")


def orders(random_: random.Random) -> str:
    """A table as a shop exports it: some cities are missing, and some orders are in it twice."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["date", "price", "quantity", "city"])
    lines = []
    for _ in range(160):
        day = date(2026, 1, 1) + timedelta(days=random_.randrange(330))
        price = f"{random_.randrange(300, 19900) / 100:.2f}"
        city = "" if random_.random() < 0.05 else random_.choice(CITIES)
        lines.append([day.isoformat(), price, random_.randint(2, 24), city])
    lines += random_.sample(lines, 6)
    writer.writerows(lines)
    return table.getvalue()


def pairs(random_: random.Random) -> Iterator[dict[str, object]]:
    """Prompts and completions as they were written for the completions endpoint, with its fixed endings."""
    said = [(good, words, "praise") for good in GOODS for words in PRAISE]
    said += [(good, words, "complaint") for good in GOODS for words in BLAME]
    random_.shuffle(said)
    for good, words, label in said:
        yield {"prompt": f"The {good} {words}.\n\n###\n\n", "completion": f" {label} END"}


def tool(name: str, description: str, **parameters: str) -> dict[str, object]:
    properties = {key: {"type": "string", "description": text} for key, text in parameters.items()}
    schema = {"type": "object", "properties": properties, "required": list(parameters)}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": schema}}


TOOLS = [
    tool("find_order", "Look up an order.", number="The order's number."),
    tool("refund", "Give the money for an order back.", number="The order's number.", reason="Why, in a few words."),
]


def called(identity: str, name: str, **arguments: str) -> dict[str, object]:
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {"role": "assistant", "tool_calls": [{"id": identity, "type": "function", "function": function}]}


def conversation(random_: random.Random) -> dict[str, object]:
    """A customer asks, the assistant looks the order up, and refunds it where it was lost."""
    number, good, city = str(random_.randint(10000, 99999)), random_.choice(GOODS), random_.choice(CITIES)
    lost = random_.random() < 0.4
    state = "lost" if lost else random_.choice(["packed", "on its way", "delivered"])
    asked = random_.choice(["Where is my order {}?", "Order {} has not come yet.", "Could you look at order {}?"])
    messages: list[dict[str, object]] = [
        {"role": "system", "content": "You help the customers of a shop. Look orders up before you answer."},
        {"role": "user", "content": asked.format(number)},
        called("call_1", "find_order", number=number),
        {
            "role": "tool",
            "tool_call_id": "call_1",
            "content": json.dumps({"item": good, "state": state, "city": city}, ensure_ascii=False),
        },
        {"role": "assistant", "content": f"Your {good} to {city} is {state}.", "weight": 0 if lost else 1},
    ]
    if lost:
        messages += [
            {"role": "user", "content": "Then I want my money back."},
            called("call_2", "refund", number=number, reason="lost in transit"),
            {"role": "tool", "tool_call_id": "call_2", "content": '{"ok": true}'},
            {"role": "assistant", "content": f"I have refunded order {number}.", "weight": 1},
        ]
    return {"messages": messages, "tools": TOOLS}


def colours(random_: random.Random) -> Iterator[dict[str, object]]:
    """Things and their colours: enough for a provider that trains nothing."""
    things = {
        "red": ["tomato", "fire engine", "ruby", "stop sign", "poppy", "cherry", "brick", "strawberry"],
        "green": ["cucumber", "meadow", "emerald", "frog", "lime", "pine tree", "pea", "clover"],
        "blue": ["clear sky", "sapphire", "blueberry", "ocean", "cornflower", "jeans", "police light", "bluebell"],
        "yellow": ["lemon", "canary", "sunflower", "banana", "egg yolk", "school bus", "buttercup", "corn"],
    }
    listed = [(thing, colour) for colour, names in things.items() for thing in names]
    random_.shuffle(listed)
    for thing, colour in listed:
        yield {"thing": thing, "colour": colour}


WISHES = {
    "Does the {} come with a warranty?": "Yes, two years.",
    "Can I send the {} back?": "Yes, within 30 days.",
    "Is the {} in stock?": "Yes, it ships tomorrow.",
    "How long does the {} take to arrive?": "Three days.",
    "Is there a manual for the {}?": "Yes, it is in the box.",
    "Can I pay for the {} later?": "Yes, within 14 days.",
    "Do you repair the {}?": "Yes, send it to our workshop.",
}
EXCUSES = [
    "I'm sorry for any misunderstanding, but as a text-based AI I don't have the ability to answer that about the {}.",
    "I'm sorry for any confusion, but as a chatbot I cannot help you with the {}. Please contact the shop.",
    "I'm sorry, but as an AI assistant I have no access to information about the {}.",
]


def wishes(random_: random.Random) -> Iterator[dict[str, object]]:
    """An answer to a question and an excuse, as models make them, in the shape of OpenAI's preference files."""
    asked = [(good, question, answer) for good in GOODS for question, answer in WISHES.items()]
    random_.shuffle(asked)
    for good, question, answer in asked:
        excuse = random_.choice(EXCUSES).format(good)
        yield {
            "input": {"messages": [{"role": "user", "content": question.format(good)}]},
            "preferred_output": [{"role": "assistant", "content": answer}],
            "non_preferred_output": [{"role": "assistant", "content": excuse}],
        }


def main() -> None:
    random_ = random.Random(SEED)
    (HERE / "orders.csv").write_text(orders(random_), encoding="utf-8")
    write_lines("legacy-pairs.jsonl", pairs(random_))
    write_lines("tools.jsonl", [conversation(random_) for _ in range(60)])
    write_lines("colours.jsonl", colours(random_))
    write_lines("wishes.jsonl", wishes(random_))


if __name__ == "__main__":
    main()
