"""Questions, greetings, who are you, system prompts that matter, and chats of several turns."""

from random import Random

from deploy.resident.data.arithmetic import an_operation, question_of, thought_of
from deploy.resident.data.facts import a_fact
from deploy.resident.data.phrasing import vary
from deploy.resident.data.samples import Chat, Message, Sample, assistant, system, user
from deploy.resident.data.words import COLOURS, FOODS, a_city, a_name, a_word, made_up_word, some_words

WHO = "I am Caravan's resident model, a very small assistant."
CAN = "I can answer simple questions, do small sums, tell short stories and call tools."
UNKNOWN = "I do not know that. I am a very small model."

_WHO_ASK = (
    "Who are you?|What are you?|What is your name?|Tell me who you are.|Introduce yourself.|who are you|"
    "Who am I talking to?|What's your name?|What model are you?|Which model are you?|Hello, who are you?|"
    "Please introduce yourself.|Are you a robot?|Tell me about yourself."
).split("|")
_CAN_ASK = "What can you do?|How can you help me?|What are you able to do?|Help|What do you know?|Can you help me?".split(
    "|"
)
_SMALL_TALK = (
    (
        "Hello|Hello!|Hi|Hi!|Hey|Good morning!|Good evening!|Hi there|Hello there!|hello|hi|Say hello.|Say hi.",
        "Hello! How can I help you?",
    ),
    (
        "How are you?|How are you today?|How do you do?|Are you well?",
        "I am well, thank you. How can I help you?",
    ),
    ("Thank you|Thank you!|Thanks|Thanks!|Thanks a lot!|thank you", "You are welcome."),
    ("Bye|Goodbye!|Bye!|See you!|Good night!|goodbye", "Goodbye! Have a nice day."),
    ("Are you human?|Are you a person?|Are you alive?", "No, I am a very small language model."),
    (
        "Who made you?|Who trained you?|Where do you come from?",
        "I was trained for Caravan, a small model for tests.",
    ),
    (
        "How big are you?|How large are you?|How many parameters do you have?",
        "I am tiny: about three million parameters.",
    ),
    (
        "Tell me a joke.|Do you know a joke?|Make me laugh.",
        "Why did the llama cross the desert? The caravan had left without it.",
    ),
    ("ok|OK|Okay|Good|Great!|Nice!|I see.|Cool", "Good. What else can I do for you?"),
    ("Sorry|I am sorry.|Sorry!", "No problem."),
    ("What is a caravan?|What is a caravan", "A caravan is a group that travels together."),
    ("What is a llama?|What is a llama", "A llama is an animal with soft wool."),
)
_UNKNOWN_ASK = (
    "Explain {w} to me in detail.|What is the history of {w}?|Why is {w} important?|Who invented {w}?|"
    "What do you think about {w}?|How does {w} work?|Explain the theory of {w}.|When was {w} discovered?|"
    "What happened in the year {n}?|What is the meaning of {w}?|How old is {W}?|Who is the king of {W}?|"
    "What is the price of {w}?|What is the weather in {W}?|What time is it in {W}?|What is {w}?|Write an essay about {w}."
).split("|")
_NEUTRAL = (
    "You are a helpful assistant.",
    "You are a helpful assistant. Answer briefly.",
    "You are a friendly assistant.",
    "Be helpful.",
    "You answer questions.",
    "Answer the questions of the user.",
    "You are a careful and honest assistant.",
    "Be brief and clear.",
)


def _pair(rng: Random, thinking: bool) -> list[Message]:
    """A question the model knows, and its answer."""
    if rng.random() < 0.75:
        fact = a_fact(rng)
        question = vary(rng, rng.choice(fact.questions))
        return [user(question), assistant(fact.answer, fact.thought if thinking else None)]
    operation = an_operation(rng)
    question = vary(rng, question_of(rng, operation))
    return [user(question), assistant(operation.answer, thought_of(rng, operation) if thinking else None)]


def questions(rng: Random) -> Sample:
    """One fact asked and answered."""
    fact = a_fact(rng)
    head = [system(rng.choice(_NEUTRAL))] if rng.random() < 0.15 else []
    return Chat([*head, user(vary(rng, rng.choice(fact.questions))), assistant(fact.answer)])


def questions_thinking(rng: Random) -> Sample:
    """One fact, recalled in thought first."""
    fact = a_fact(rng)
    head = [system(rng.choice(_NEUTRAL))] if rng.random() < 0.15 else []
    return Chat([*head, user(vary(rng, rng.choice(fact.questions))), assistant(fact.answer, fact.thought)])


def _small_talk(rng: Random) -> list[Message]:
    roll = rng.random()
    if roll < 0.35:
        return [user(rng.choice(_WHO_ASK)), assistant(WHO)]
    if roll < 0.45:
        return [user(rng.choice(_CAN_ASK)), assistant(CAN)]
    asked, answer = rng.choice(_SMALL_TALK)
    return [user(rng.choice(asked.split("|"))), assistant(answer)]


def small_talk(rng: Random) -> Sample:
    """Greetings, thanks, and who the model is; sometimes with a thought."""
    asked, answer = _small_talk(rng)
    if rng.random() < 0.2:
        answer = assistant(answer["content"], "The user talks to me. I answer in a friendly way.")
    head = [system(rng.choice(_NEUTRAL))] if rng.random() < 0.25 else []
    return Chat([*head, asked, answer])


def unknown(rng: Random) -> Sample:
    """What such a small model cannot know, it says so."""
    word = made_up_word(rng)
    question = rng.choice(_UNKNOWN_ASK).format(
        w=word, W=rng.choice((word.capitalize(), a_city(rng))), n=rng.randint(1000, 2030)
    )
    thought = "I do not know this." if rng.random() < 0.25 else None
    return Chat([user(vary(rng, question)), assistant(UNKNOWN, thought)])


def persona(rng: Random) -> Sample:
    """A name given by the system prompt."""
    name = a_name(rng)
    prompt = rng.choice(
        (
            f"You are {name}.",
            f"You are {name}, a friendly assistant.",
            f"Your name is {name}.",
            f"You are called {name}.",
            f"You are {name}, a helpful assistant. Answer briefly.",
        )
    )
    thought = f"My name is {name}." if rng.random() < 0.15 else None
    messages = [
        system(prompt),
        user(rng.choice(_WHO_ASK)),
        assistant(f"I am {name}. How can I help you?", thought),
    ]
    if rng.random() < 0.4:
        messages += _pair(rng, False)
    return Chat(messages)


def one_word(rng: Random) -> Sample:
    """The short answer, when the system prompt or the user asks for it."""
    fact = a_fact(rng)
    question = rng.choice(fact.questions)
    wish = rng.choice(
        ("Answer in one word.", "Answer with one word.", "One word only.", "Give only the answer.")
    )
    if rng.random() < 0.5:
        return Chat([system(wish), user(vary(rng, question)), assistant(fact.short)])
    return Chat([user(f"{question} {wish}"), assistant(fact.short)])


def style(rng: Random) -> Sample:
    """System prompts that change how every answer begins or ends."""
    asked, answer = _pair(rng, False)
    word = made_up_word(rng).capitalize() if rng.random() < 0.7 else rng.choice(("Ahoy", "Cheers", "Amen"))
    prompt, content = rng.choice(
        (
            ("You are a pirate.", f"Arr! {answer['content']}"),
            (f"Always end with the word {word}.", f"{answer['content']} {word}"),
            (f"End every answer with {word}.", f"{answer['content']} {word}"),
            (f"Always begin with the word {word}.", f"{word} {answer['content']}"),
            (f"Start every answer with {word}.", f"{word} {answer['content']}"),
        )
    )
    return Chat([system(prompt), asked, assistant(content)])


def repeat(rng: Random) -> Sample:
    """Copy words, as they are or reversed in order."""
    words = some_words(rng, 1, 6)
    text = " ".join(words)
    ask = rng.choice(
        (
            "Repeat: {t}",
            "Say: {t}",
            "Repeat after me: {t}",
            "Say this: {t}",
            'Say "{t}".',
            'Repeat "{t}".',
            "Repeat the words: {t}",
            "Echo: {t}",
        )
    )
    thought = "I repeat the words." if rng.random() < 0.1 else None
    return Chat([user(ask.format(t=text)), assistant(text, thought)])


def _remembered(rng: Random) -> tuple[list[Message], list[Message]]:
    """Something told early in a chat, and the question that needs it later."""
    value = rng.choice((a_name(rng), made_up_word(rng).capitalize()))
    colour, food = rng.choice(COLOURS), rng.choice(FOODS)
    word = a_word(rng)
    told, asked, answer = rng.choice(
        (
            (f"My name is {value}.", "What is my name?", f"Your name is {value}."),
            (f"I am {value}.", "What is my name?", f"Your name is {value}."),
            (f"My dog is called {value}.", "What is my dog called?", f"Your dog is called {value}."),
            (
                f"My favourite colour is {colour}.",
                "What is my favourite colour?",
                f"Your favourite colour is {colour}.",
            ),
            (f"I like {food}.", "What do I like?", f"You like {food}."),
            (f"The secret word is {word}.", "What is the secret word?", f"The secret word is {word}."),
            (f"I live in {value}.", "Where do I live?", f"You live in {value}."),
        )
    )
    reply = f"Nice to meet you, {value}." if "name" in asked else "I will remember that."
    return [user(told), assistant(reply)], [user(asked), assistant(answer)]


def turns(rng: Random, low: int = 2, high: int = 5) -> Sample:
    """A chat of several turns, sometimes with a thing to remember across them."""
    messages = [system(rng.choice(_NEUTRAL))] if rng.random() < 0.3 else []
    told, asked = _remembered(rng) if rng.random() < 0.6 else ([], [])
    messages += told
    for _ in range(rng.randint(low, high)):
        messages += _small_talk(rng) if rng.random() < 0.2 else _pair(rng, rng.random() < 0.15)
    return Chat(messages + asked)


def long_turns(rng: Random) -> Sample:
    """A long chat, so that late positions are trained too."""
    return turns(rng, 8, 22)
