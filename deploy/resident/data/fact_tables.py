"""What the model is to know, as plain tables: one relation each, key to value."""


def _pairs(text: str) -> dict[str, str]:
    """Read "key: value; key: value"."""
    return {key.strip(): value.strip() for key, value in (entry.split(":") for entry in text.split(";"))}


CAPITALS = _pairs(
    "France: Paris; Germany: Berlin; Italy: Rome; Spain: Madrid; Portugal: Lisbon; England: London; "
    "Ireland: Dublin; Scotland: Edinburgh; Austria: Vienna; Switzerland: Bern; Belgium: Brussels; "
    "the Netherlands: Amsterdam; Denmark: Copenhagen; Norway: Oslo; Sweden: Stockholm; Finland: Helsinki; "
    "Iceland: Reykjavik; Poland: Warsaw; Hungary: Budapest; Greece: Athens; Turkey: Ankara; Russia: Moscow; "
    "Ukraine: Kyiv; Romania: Bucharest; Bulgaria: Sofia; Croatia: Zagreb; Serbia: Belgrade; Egypt: Cairo; "
    "Morocco: Rabat; Kenya: Nairobi; Nigeria: Abuja; Ghana: Accra; Japan: Tokyo; China: Beijing; "
    "India: New Delhi; South Korea: Seoul; Thailand: Bangkok; Vietnam: Hanoi; Indonesia: Jakarta; "
    "Nepal: Kathmandu; Iran: Tehran; Iraq: Baghdad; Canada: Ottawa; Mexico: Mexico City; Cuba: Havana; "
    "Brazil: Brasilia; Argentina: Buenos Aires; Chile: Santiago; Peru: Lima; Colombia: Bogota; "
    "Australia: Canberra; New Zealand: Wellington"
)

CONTINENTS = _pairs(
    "France: Europe; Germany: Europe; Italy: Europe; Spain: Europe; Portugal: Europe; Norway: Europe; "
    "Greece: Europe; Poland: Europe; Egypt: Africa; Morocco: Africa; Kenya: Africa; Nigeria: Africa; "
    "Ghana: Africa; Japan: Asia; China: Asia; India: Asia; Thailand: Asia; Vietnam: Asia; Nepal: Asia; "
    "Canada: North America; Mexico: North America; Cuba: North America; Brazil: South America; "
    "Argentina: South America; Chile: South America; Peru: South America"
)

COLOURS = _pairs(
    "the sky: blue; grass: green; snow: white; coal: black; blood: red; the sun: yellow; a lemon: yellow; "
    "a banana: yellow; a tomato: red; a strawberry: red; a carrot: orange; milk: white; a frog: green; "
    "the sea: blue; chocolate: brown; an elephant: grey; a flamingo: pink; a crow: black; salt: white; "
    "a pumpkin: orange; a cucumber: green; an aubergine: purple; a fire engine: red; a polar bear: white; "
    "a cherry: red; night: black; wood: brown; a leaf: green; a swan: white; a mouse: grey"
)

OPPOSITES = _pairs(
    "hot: cold; big: small; up: down; left: right; fast: slow; day: night; black: white; happy: sad; "
    "open: closed; old: new; hard: soft; high: low; long: short; rich: poor; wet: dry; full: empty; "
    "early: late; good: bad; light: dark; loud: quiet; strong: weak; true: false; inside: outside; "
    "clean: dirty; near: far; first: last; love: hate; start: end; yes: no; heavy: light; thick: thin; "
    "push: pull; win: lose; buy: sell; question: answer; north: south; east: west; summer: winter"
)

SOUNDS = _pairs(
    "cow: moo; dog: woof; cat: meow; duck: quack; sheep: baa; pig: oink; lion: roar; bee: buzz; owl: hoot; "
    "rooster: cock-a-doodle-doo; frog: croak; snake: hiss; horse: neigh; mouse: squeak; wolf: howl; crow: caw"
)

BABIES = _pairs(
    "dog: puppy; cat: kitten; cow: calf; sheep: lamb; horse: foal; duck: duckling; hen: chick; pig: piglet; "
    "bear: cub; goat: kid; swan: cygnet; frog: tadpole; deer: fawn; goose: gosling; lion: cub"
)

LEGS = _pairs(
    "a dog: 4; a cat: 4; a horse: 4; a cow: 4; a spider: 8; an ant: 6; a bee: 6; a bird: 2; a hen: 2; "
    "a snake: 0; a fish: 0; an insect: 6; a person: 2; a table: 4; a duck: 2; a sheep: 4"
)

KINDS = _pairs(
    "an apple: fruit; a banana: fruit; a pear: fruit; a cherry: fruit; a carrot: vegetable; an onion: vegetable; "
    "a cabbage: vegetable; a dog: animal; a cow: animal; a horse: animal; an eagle: bird; an owl: bird; "
    "a sparrow: bird; a salmon: fish; a shark: fish; an ant: insect; a bee: insect; a rose: flower; "
    "a tulip: flower; a daisy: flower; an oak: tree; a pine: tree; a hammer: tool; a saw: tool; "
    "a violin: musical instrument; a piano: musical instrument; a drum: musical instrument; gold: metal; "
    "iron: metal; silver: metal; Mars: planet; Jupiter: planet; Venus: planet; red: colour; blue: colour; "
    "Monday: day; Friday: day; May: month; March: month; a car: vehicle; a bus: vehicle; tea: drink; coffee: drink"
)

HOMES = _pairs(
    "a fish: water; a bird: a nest; a bee: a hive; a bear: a forest; a camel: the desert; a penguin: the ice; "
    "a cow: a barn; a rabbit: a burrow; a spider: a web; a king: a castle; a monkey: the jungle; a whale: the sea"
)

JOBS = _pairs(
    "bakes bread: A baker; teaches children: A teacher; flies a plane: A pilot; catches fish: A fisherman; "
    "grows food: A farmer; heals sick people: A doctor; heals animals: A vet; paints pictures: A painter; "
    "puts out fires: A firefighter; writes books: A writer; cooks food: A cook; sails a ship: A sailor; "
    "builds houses: A builder; repairs teeth: A dentist; cuts hair: A hairdresser; delivers letters: A postman"
)

FRENCH = _pairs(
    "hello: bonjour; goodbye: au revoir; thank you: merci; yes: oui; no: non; water: eau; bread: pain; "
    "cat: chat; dog: chien; house: maison; red: rouge; blue: bleu; one: un; two: deux; three: trois; book: livre"
)

SPANISH = _pairs(
    "hello: hola; goodbye: adios; thank you: gracias; yes: si; no: no; water: agua; bread: pan; cat: gato; "
    "dog: perro; house: casa; red: rojo; blue: azul; one: uno; two: dos; three: tres; book: libro"
)

GERMAN = _pairs(
    "hello: hallo; goodbye: auf Wiedersehen; thank you: danke; yes: ja; no: nein; water: Wasser; bread: Brot; "
    "cat: Katze; dog: Hund; house: Haus; red: rot; blue: blau; one: eins; two: zwei; three: drei; book: Buch"
)

PLURALS = _pairs(
    "mouse: mice; child: children; man: men; woman: women; foot: feet; tooth: teeth; goose: geese; sheep: sheep; "
    "cat: cats; dog: dogs; house: houses; box: boxes; leaf: leaves; knife: knives; baby: babies; city: cities; "
    "tree: trees; bird: birds; book: books; car: cars; fish: fish; wolf: wolves; bus: buses; person: people"
)

DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()

MONTHS = ("January February March April May June July August September October November December").split()

NUMBER_WORDS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen twenty"
).split()

SINGLE = {
    "How many days are in a week?": ("7", "There are 7 days in a week."),
    "How many days are there in a week?": ("7", "There are 7 days in a week."),
    "How many months are in a year?": ("12", "There are 12 months in a year."),
    "How many months does a year have?": ("12", "There are 12 months in a year."),
    "How many hours are in a day?": ("24", "There are 24 hours in a day."),
    "How many hours does a day have?": ("24", "There are 24 hours in a day."),
    "How many minutes are in an hour?": ("60", "There are 60 minutes in an hour."),
    "How many seconds are in a minute?": ("60", "There are 60 seconds in a minute."),
    "How many days are in a year?": ("365", "There are 365 days in a year."),
    "How many seasons are there?": ("4", "There are 4 seasons: spring, summer, autumn and winter."),
    "Name the four seasons.": (
        "spring, summer, autumn, winter",
        "The four seasons are spring, summer, autumn and winter.",
    ),
    "What are the seasons of the year?": (
        "spring, summer, autumn, winter",
        "The four seasons are spring, summer, autumn and winter.",
    ),
    "How many sides does a triangle have?": ("3", "A triangle has 3 sides."),
    "How many sides does a square have?": ("4", "A square has 4 sides."),
    "How many sides does a hexagon have?": ("6", "A hexagon has 6 sides."),
    "How many letters are in the alphabet?": ("26", "There are 26 letters in the alphabet."),
    "How many wheels does a car have?": ("4", "A car has 4 wheels."),
    "How many wheels does a bicycle have?": ("2", "A bicycle has 2 wheels."),
    "How many fingers are on one hand?": ("5", "There are 5 fingers on one hand."),
    "What is the largest animal?": ("the blue whale", "The largest animal is the blue whale."),
    "What is the biggest animal?": ("the blue whale", "The largest animal is the blue whale."),
    "What is the tallest animal?": ("the giraffe", "The tallest animal is the giraffe."),
    "What is the fastest land animal?": ("the cheetah", "The fastest land animal is the cheetah."),
    "What is the highest mountain?": ("Mount Everest", "The highest mountain is Mount Everest."),
    "What is the longest river?": ("the Nile", "The longest river is the Nile."),
    "What is the largest planet?": ("Jupiter", "The largest planet is Jupiter."),
    "What planet do we live on?": ("Earth", "We live on the planet Earth."),
    "Which planet do we live on?": ("Earth", "We live on the planet Earth."),
    "What do bees make?": ("honey", "Bees make honey."),
    "What do cows give us?": ("milk", "Cows give us milk."),
    "What do hens lay?": ("eggs", "Hens lay eggs."),
    "What is ice made of?": ("water", "Ice is made of frozen water."),
    "What is bread made of?": ("flour", "Bread is made of flour and water."),
    "What is the first month of the year?": ("January", "The first month of the year is January."),
    "What is the last month of the year?": ("December", "The last month of the year is December."),
    "What is the first letter of the alphabet?": ("A", "The first letter of the alphabet is A."),
    "What is the last letter of the alphabet?": ("Z", "The last letter of the alphabet is Z."),
    "What do we use to see?": ("our eyes", "We use our eyes to see."),
    "What do we use to hear?": ("our ears", "We use our ears to hear."),
    "Where does the sun rise?": ("in the east", "The sun rises in the east."),
    "Where does the sun set?": ("in the west", "The sun sets in the west."),
    "Is the earth round?": ("yes", "Yes, the earth is round."),
    "Is fire hot?": ("yes", "Yes, fire is hot."),
    "Is ice hot?": ("no", "No, ice is cold."),
    "Can fish fly?": ("no", "No, fish swim in water."),
    "Can birds fly?": ("yes", "Yes, most birds can fly."),
}
