"""instructor, in the modes that it has for OpenAI's chat completions."""

import instructor
import openai
from pydantic import BaseModel, Field

from tests.clients.conversation import BASE_URL, MODEL, PERSON, run


class Person(BaseModel):
    """A person."""

    name: str = Field(max_length=20)
    age: int = Field(ge=0, le=150)


def _person(mode: instructor.Mode) -> Person:
    client = instructor.from_openai(openai.OpenAI(base_url=BASE_URL, api_key="none"), mode=mode)
    found = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": PERSON}],
        response_model=Person,
        temperature=0,
        max_retries=0,
    )
    assert isinstance(found, Person)
    return found


def check_tools() -> None:
    _person(instructor.Mode.TOOLS)


def check_strict_tools() -> None:
    _person(instructor.Mode.TOOLS_STRICT)


def check_json_schema() -> None:
    _person(instructor.Mode.JSON_SCHEMA)


def check_partial_stream() -> None:
    client = instructor.from_openai(
        openai.OpenAI(base_url=BASE_URL, api_key="none"), mode=instructor.Mode.JSON_SCHEMA
    )
    *_, last = client.chat.completions.create_partial(
        model=MODEL, messages=[{"role": "user", "content": PERSON}], response_model=Person, temperature=0
    )
    assert last.name is not None


if __name__ == "__main__":
    run(globals())
