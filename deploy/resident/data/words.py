"""Word lists shared by the generators, and made-up words that can only be copied, never remembered."""

from random import Random

NAMES = (
    "Anna Ben Clara David Emma Felix Grace Hugo Ida Jack Kate Leo Mia Noah Olga Paul Rosa Sam Tina Uma Victor "
    "Wendy Xenia Yusuf Zoe Adam Bella Carl Dora Eric Fiona George Hana Ivan Julia Kofi Lena Max Nina Oscar "
    "Petra Quinn Ravi Sara Tom Ursula Vera Will Yara Zack Alice Bob Amir Chen Diego Elif Farah Gita Hans Ines "
    "Jonas Karim Lucia Maria Nadia Omar Pablo Rita Stefan Theo Vivian Mark Lucy Peter Ruth Simon Layla"
).split()

ANIMALS = (
    "fox bear rabbit mouse cat dog owl duck frog hen goat sheep horse cow pig lion tiger wolf deer turtle "
    "hedgehog squirrel badger beaver crow sparrow swan goose snail bee ant spider whale dolphin seal penguin "
    "camel donkey elephant monkey parrot crab fish otter mole"
).split()

COLOURS = "red blue green yellow white black brown orange purple pink grey golden silver".split()

FRUITS = "apple banana pear cherry plum peach orange lemon grape melon mango kiwi".split()

FOODS = (
    "bread cheese soup rice pizza pasta salad cake honey butter jam milk tea coffee juice water apples pears "
    "carrots potatoes beans eggs fish cookies nuts berries"
).split()

OBJECTS = (
    "lamp book key hat ball kite boat drum bell box map coat cup chair table clock ring rope basket ladder "
    "pencil mirror bottle button candle spoon shell stone feather flute wagon blanket lantern coin bucket"
).split()

PLACES = (
    "forest river hill village garden farm market lake valley beach mountain meadow castle mill harbour bridge "
    "cave island desert orchard library school bakery kitchen tower"
).split()

CITIES = (
    "Paris London Rome Berlin Madrid Vienna Tokyo Cairo Oslo Lima Athens Dublin Prague Lisbon Warsaw Delhi "
    "Beijing Boston Chicago Sydney Toronto Istanbul Moscow Nairobi Geneva Milan Munich Hamburg Lyon Porto "
    "Kyoto Seoul Havana Denver Dallas Austin Leeds Bergen Malaga Naples"
).split()

FEELINGS = "happy sad tired brave shy hungry lonely curious proud angry calm sleepy".split()

ADJECTIVES = (
    "small big old young kind clever quiet funny brave gentle tiny tall strong soft warm cold bright dark "
    "heavy light quick slow round long new clean"
).split()

VERBS = (
    "find open close send show list create delete update book order buy sell check read write play stop start "
    "move copy count print save load share sort track call cancel clean fix paint rent repair search turn "
    "measure record reserve resize rename"
).split()

NOUNS = (
    "recipe ticket room song video photo email note task alarm lamp door window garden car bike train flight "
    "hotel table order parcel letter report file folder album playlist movie game book page price stock "
    "account invoice payment meeting event reminder contact message user device camera sensor light heater "
    "robot printer map route station shop product basket review score battery"
).split()

_ONSETS = "b c d f g h j k l m n p r s t v w z br dr fl gr kl pl st tr sh th".split()
_VOWELS = "a e i o u a e i o ai ea oo".split()
_CODAS = "n r l s t m k".split()


def made_up_word(rng: Random) -> str:
    """Two or three syllables that mean nothing."""
    parts = [rng.choice(_ONSETS) + rng.choice(_VOWELS) for _ in range(rng.choice((1, 2, 2, 3)))]
    if len(parts) == 1 or rng.random() < 0.5:
        parts.append(rng.choice(_CODAS))
    return "".join(parts)


def a_name(rng: Random) -> str:
    return rng.choice(NAMES) if rng.random() < 0.8 else made_up_word(rng).capitalize()


def a_city(rng: Random) -> str:
    return rng.choice(CITIES) if rng.random() < 0.75 else made_up_word(rng).capitalize()


def a_word(rng: Random) -> str:
    """Any word: from the lists, or made up."""
    if rng.random() < 0.35:
        return made_up_word(rng)
    return rng.choice(rng.choice((ANIMALS, OBJECTS, FOODS, PLACES, COLOURS, ADJECTIVES, NOUNS, FRUITS)))


def some_words(rng: Random, low: int, high: int) -> list[str]:
    return [a_word(rng) for _ in range(rng.randint(low, high))]


def article(word: str) -> str:
    """The word with "a" or "an" before it."""
    return f"{'an' if word[0].lower() in 'aeiou' else 'a'} {word}"
