"""A tool call with its request, and the well-known tools under the names that people give them."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from deploy.resident.data.fact_tables import DAYS
from deploy.resident.data.words import (
    a_city,
    a_name,
    a_word,
    some_words,
)

_FILLERS = set("the a an of in to by tool two get set put into for is with given".split())

_SAME = tuple(
    set(words.split())
    for words in (
        "add sum plus calculate calculator compute evaluate multiply times numbers expression",
        "search lookup google web information",
        "time current timezone",
        "weather",
        "play song",
        "message text send",
        "light",
        "price",
        "event calendar",
    )
)
LONG_CITIES = (
    "New York",
    "San Francisco",
    "Los Angeles",
    "Mexico City",
    "Buenos Aires",
    "Boston, MA",
    "Paris, France",
)
LANGUAGES = "French German Spanish Italian Greek Dutch Polish Turkish Swedish Latin".split()
ROOMS = "kitchen bedroom bathroom hall garage office garden cellar".split()
CURRENCIES = "EUR USD GBP JPY CHF".split()
UNITS = ("celsius", "fahrenheit")
Parameters = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Call:
    """What is asked and how a tool is called for it; `label` names the call when there are two."""

    tool: dict[str, Any]
    request: str
    arguments: dict[str, Any]
    label: str

    @property
    def name(self) -> str:
        return str(self.tool["function"]["name"])

    def description_words(self) -> set[str]:
        """What the tool is about, to tell whether two tools could be taken for each other."""
        name = re.sub(r"([A-Z])", r"_\1", self.name).lower().split("_")
        described = re.findall(r"[a-z]+", self.tool["function"]["description"].lower())
        same = {word for group in _SAME if group & {*name, *described} for word in group}
        return {*name, *described, *same} - _FILLERS


def tool(name: str, description: str, parameters: Parameters, required: list[str]) -> dict[str, Any]:
    """A tool as OpenAI clients send it."""
    schema = {"type": "object", "properties": parameters, "required": required}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": schema}}


@dataclass(frozen=True)
class Kind:
    """A well-known tool under several names; `forms` ask for it with the parameters' values in them."""

    names: str
    description: str
    parameters: dict[str, tuple[str, str]]  # name, then type and what its values are
    forms: str

    def call(self, rng: Random) -> Call:
        """A call under one of the names; a parameter's name may vary too ("city/location")."""
        form = rng.choice(self.forms.split("|"))
        schemas: Parameters = {}
        arguments: dict[str, Any] = {}
        values: dict[str, Any] = {}
        for names, (kind, source) in self.parameters.items():
            name = rng.choice(names.split("/"))
            schemas[name] = {"type": kind} | ({"enum": list(UNITS)} if source == "unit" else {})
            first = names.split("/")[0]
            if "{" + first + "}" in form:
                values[first] = arguments[name] = a_value(rng, source)
        required = [name for name in schemas if name in arguments]
        label = str(next(iter(arguments.values()), self.names.split("/")[0]))
        description = rng.choice((*self.description.split("|"), ""))
        if rng.random() < 0.5:  # a parameter that the request leaves open is often not offered at all
            schemas = {name: schema for name, schema in schemas.items() if name in arguments}
        spec = tool(rng.choice(self.names.split("/")), description, schemas, required)
        return Call(spec, form.format(**values), arguments, label)


_SOURCES: dict[str, Callable[[Random], Any]] = {
    "city": lambda rng: rng.choice(LONG_CITIES) if rng.random() < 0.12 else a_city(rng),
    "name": a_name,
    "small": lambda rng: rng.randint(1, 60),
    "number": lambda rng: rng.randint(0, 1000),
    "time": lambda rng: f"{rng.randint(0, 23)}:{rng.choice(('00', '15', '30', '45'))}",
    "language": lambda rng: rng.choice(LANGUAGES),
    "room": lambda rng: rng.choice(ROOMS),
    "unit": lambda rng: rng.choice(UNITS),
    "money": lambda rng: rng.choice(CURRENCIES),
    "sum": lambda rng: f"{rng.randint(0, 999)} {rng.choice('+-*/')} {rng.randint(1, 99)}",
    "day": lambda rng: rng.choice((*DAYS, "today", "tomorrow")),
    "words": lambda rng: " ".join(some_words(rng, 1, 4)),
    "word": a_word,
    "colour": a_word,
}


def a_value(rng: Random, source: str) -> Any:  # noqa: ANN401
    """A value of the named source."""
    return _SOURCES[source](rng)


KINDS = (
    Kind(
        "get_weather/get_weather/get_weather/get_current_weather/weather/fetch_weather/weather_lookup",
        "Get the weather of a city.|Get the current weather in a given location.|Get the weather|Weather for a place.",
        {"city/location/place": ("string", "city"), "unit/units": ("string", "unit")},
        "What is the weather in {city}?|What's the weather in {city}?|How is the weather in {city}?|Weather in {city}?|"
        "What is the weather like in {city}?|Is it cold in {city}?|Will it rain in {city}?|Tell me the weather in {city}.|"
        "Get the weather in {city}.|What is the weather in {city} in {unit}?|Weather in {city} in {unit}.|What's the weather like in {city} today?|Check the weather in {city}.",
    ),
    Kind(
        "get_time/get_current_time/current_time/time_in",
        "Get the time in a city.|Get the current time.|The time of a place.",
        {"city/location/timezone/place": ("string", "city")},
        "What time is it in {city}?|What is the time in {city}?|Tell me the time in {city}.|Time in {city}?",
    ),
    Kind(
        "add/add_numbers/sum/plus",
        "Add two numbers.|Adds two numbers|Return the sum of two numbers.",
        {"a/x/first": ("integer", "number"), "b/y/second": ("integer", "number")},
        "What is {a} + {b}?|Add {a} and {b}.|How much is {a} plus {b}?|{a} + {b}|Use the tool to add {a} and {b}.",
    ),
    Kind(
        "multiply/times",
        "Multiply two numbers.",
        {"a/x/first": ("number", "number"), "b/y/second": ("number", "number")},
        "What is {a} * {b}?|Multiply {a} by {b}.|How much is {a} times {b}?",
    ),
    Kind(
        "calculator/calculate/evaluate/compute",
        "Calculate an expression.|Evaluate a mathematical expression.",
        {"expression/formula/input": ("string", "sum")},
        "What is {expression}?|Calculate {expression}.|Compute {expression}.|How much is {expression}?",
    ),
    Kind(
        "search/web_search/search_web/lookup/google",
        "Search the web.|Search for information.",
        {"query/q/text": ("string", "words")},
        "Search for {query}.|Search the web for {query}.|Look up {query}.|Find information about {query}.",
    ),
    Kind(
        "send_message/send_text/message_user",
        "Send a message to a person.",
        {"to/recipient/name": ("string", "name"), "text/message/body": ("string", "words")},
        "Send {to} the message: {text}|Send a message to {to}: {text}|Write to {to}: {text}|Tell {to}: {text}",
    ),
    Kind(
        "set_timer/start_timer/timer",
        "Set a timer in minutes.",
        {"minutes/duration": ("integer", "small")},
        "Set a timer for {minutes} minutes.|Start a timer of {minutes} minutes.|Timer for {minutes} minutes, please.",
    ),
    Kind(
        "set_alarm/create_alarm",
        "Set an alarm.",
        {"time/at": ("string", "time")},
        "Set an alarm for {time}.|Wake me at {time}.|Set the alarm to {time}.",
    ),
    Kind(
        "translate/translate_text",
        "Translate a text.",
        {"text/phrase": ("string", "words"), "language/target": ("string", "language")},
        "Translate {text} into {language}.|Translate '{text}' to {language}.|Say {text} in {language}.",
    ),
    Kind(
        "set_light/switch_light/light",
        "Switch the light of a room.",
        {"room": ("string", "room"), "colour/color": ("string", "colour")},
        "Make the light in the {room} {colour}.|Set the {room} light to {colour}.|Turn on the light in the {room}.",
    ),
    Kind(
        "get_price/price_of/stock_price",
        "Get the price of a thing.",
        {"item/product/symbol": ("string", "word")},
        "What is the price of {item}?|How much does {item} cost?|Price of {item}?|What does {item} cost?",
    ),
    Kind(
        "convert_currency/exchange/convert",
        "Convert money.",
        {
            "amount": ("number", "number"),
            "from/source": ("string", "money"),
            "to/target": ("string", "money"),
        },
        "Convert {amount} {from} to {to}.|How much is {amount} {from} in {to}?|Change {amount} {from} into {to}.",
    ),
    Kind(
        "create_event/add_event/calendar_add",
        "Put an event into the calendar.",
        {"title/name": ("string", "words"), "day/date": ("string", "day")},
        "Create an event {title} on {day}.|Put {title} into my calendar for {day}.|Add the event {title} on {day}.",
    ),
    Kind(
        "play_song/play_music/play",
        "Play a song.",
        {"title/song/name": ("string", "words")},
        "Play {title}.|Play the song {title}.|I want to hear the song {title}.",
    ),
    Kind(
        "get_user/find_user/user_info",
        "Get a user by number.",
        {"id/user_id/number": ("integer", "number")},
        "Show me user {id}.|Get the user {id}.|Who is user number {id}?|Find user {id}.",
    ),
)


def known_call(rng: Random) -> Call:
    """A call of a well-known tool; half of them the weather, sums and search that examples use."""
    return rng.choice(KINDS[:6] if rng.random() < 0.4 else KINDS).call(rng)
