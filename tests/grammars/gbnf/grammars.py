"""Grammars for the tests: of llama.cpp's files, of its README, and with odd corners of our own."""

from pathlib import Path

DATA = Path(__file__).parent / "data"

FILES = {path.stem: path.read_text(encoding="utf-8") for path in sorted(DATA.glob("*.gbnf"))}


# What grammars/README.md shows in pieces, made whole.
README = {
    "chess with groups": """root ::= (
    # it must start with the characters "1. " followed by a sequence
    # of characters that match the `move` rule, followed by a space, followed
    # by another move, and then a newline
    "1. " move " " move "\\n"

    # it's followed by one or more subsequent moves, numbered with one or two digits
    ([1-9] [0-9]? ". " move " " move "\\n")+
)
move ::= (pawn | nonpawn | castle) [+#]?
pawn ::= [a-h] [1-8]
nonpawn ::= [NBKQR] pawn
castle ::= "O-O"
""",
    "hiragana": 'root ::= hiragana+ single-line\nhiragana ::= [ぁ-ゟ]\nsingle-line ::= [^\\n]+ "\\n"',
    "white space": 'root ::= "a" ws "b"\n# defines optional whitespace\nws ::= [ \\t\\n]+',
    "a list": 'root ::= ("- " item)+\nitem ::= [^\\n]+ "\\n"',
    "slow optional": 'root ::= "x"? "x"? "x"? "y"{0,9} (("z" ("z")?)?)?',
}

# Odd corners of our own.
OWN = {
    "empty literal": 'root ::= "" "a" ""',
    "empty class": 'root ::= [] "a" [^] "b"',
    "empty alternative first": 'root ::= "<" ( | "a" | "bc") ">"',
    "empty alternative last": 'root ::= "a" ("b" | )',
    "only empty": 'root ::= ""',
    "reversed range": 'root ::= "a" | [z-a] | [^z-a] "!"',
    "ranges that overlap": "root ::= [a-ma-zf-p0-9]{3}",
    "dashes": "root ::= [a-] [-a] [a\\-c] [--/]",
    "brackets": 'root ::= [\\[\\]] [\\\\"] "\\[\\]\\"\\\\"',
    "escapes": 'root ::= "\\x41\\u00e9\\U0001F600" [\\x61-\\x63] [\\u3041-\\u309f] "\\t\\r\\n"',
    "beyond text": 'root ::= "a" | "\\ud800" "b" | [\\U00110000-\\Uffffffff] "c" | [^\\ud800]',
    "no U+0000": 'root ::= [\\x00-\\x02a] [^a] . "\\x00"?',
    "negation": "root ::= [^a-z \\n]+ [^^] [a^]?",
    "any character": 'root ::= "(" .{2,4} ")"',
    "multi-byte negation": "root ::= [^à-ÿ一-鿿]+",
    "emoji": "root ::= [😀-🙏]+ | [🚀🌍]+",
    "nested repetition": 'root ::= (("a"{2} "b"?){1,2} "c"+)* "!"',
    "repetition of a repetition": 'root ::= "ab"{2}{1,2} [c]+? "d"',
    "nothing of it": 'root ::= "a" "b"{0} "c"{0,0} "d"',
    "counts": 'root ::= [0-9]{3} "-"{2,} [a-f]{1,20} x{0,2}\nx ::= "x" | "yy"',
    "recursion to the right": 'root ::= "a" root | "b"',
    "recursion in the middle": 'root ::= "(" root ")" | "[" (root ";")* "]" | ""',
    "mutual recursion": 'root ::= "{" pairs "}"\npairs ::= (pair ("," pair)*)?\npair ::= [a-z]+ ":" value\n'
    "value ::= root | [0-9]+",
    "ambiguous": 'root ::= (a | b | root2)+\na ::= "a" | "ab"\nb ::= "b" | "ab"\nroot2 ::= "(" root ")"',
    "palindromes": 'root ::= "a" root "a" | "b" root "b" | "c"?',
    "words that begin alike": 'root ::= word ("." root)?\nword ::= "an" | "ant" | "the" | [a-t]+ "ing"',
    "keywords and names": "root ::= s+\n"
    's ::= ("if" | "in" | name) ws (s ";" | name ";")\nname ::= [a-z]+\nws ::= " "+',
    "white space twice": "root ::= ws value ws\n"
    'value ::= "[" ws (value (ws "," ws value)*)? ws "]" | "t"\nws ::= [ \\n]*',
    "comments": '# first\nroot ::= "a" # second "b"\n  # third\n\nx ::= "#" # last',
    "lines": 'root ::= (\n  a\n  b\n  | \n  b\n) |\n  a\r\na ::= \n "a"\r\n\r\nb ::= "b"\n',
    "names": 'root ::= -a Z-9 0\n-a ::= "x"\nZ-9 ::= "y"\n0 ::= "z"',
    "defined twice": 'root ::= a\na ::= "x"\na ::= "y"',
    "unused": 'root ::= "a"\nb ::= "b" b | c\nc ::= [c]',
    "text of tokens": 'root ::= "<think>" [^<]* "</think>"',
}

# Recursion at the end of rules, which becomes loops.
TAILS = {
    "list": 'root ::= item | item "," root\nitem ::= [a-z]+',
    "list of lists": 'root ::= "[" (list | ) "]"\nlist ::= (root | [0-9]) ("," list)?',
    "operators": "root ::= e\ne ::= n (op e)*\nn ::= [0-9]+\nop ::= [-+*/]",
    "operators with signs": 'root ::= "-" root | n ("+" root | "^" n)* | [a-z] ("*" root)*\nn ::= [0-9]+',
    "at least one operator": 'root ::= n | "(" root ")" | n (op root)+\nn ::= [0-9]+\nop ::= [-+*/]',
    "terms and factors": 'root ::= t ("+" root)?\nt ::= f | f "*" t\nf ::= [0-9]+ | "(" root ")"',
    "terms and factors again": 'root ::= t ("+" root)*\nt ::= f ("*" t)*\nf ::= [0-9]+ | "(" root ")"',
    "states": 'root ::= "a" x | "b" y | "."\n'
    'x ::= "c" root | "d" y | root "!"\ny ::= "e" x | "f" root | "g" y',
    "statements": 'root ::= s root | s\ns ::= [a-z]+ "=" v ";\\n" | "{" root "}"\nv ::= [0-9]+ | "(" v ")"',
    "brackets": 'root ::= "(" root ")" root | "[" root "]" root | ""',
    "repeats itself": 'root ::= [0-9] ("," root*)? | "<" root{0,2} ">"',
    "repeats two": 'root ::= [0-9] ("," root)* | [a-z] (";" root)* | "(" root ")"',
}

# Those that name tokens of the resident model; sets are equal to the last control token.
TOKENS = {
    "thinking": "root ::= <think> thinking </think> .\nthinking ::= !</think>*",
    "thinking by number": "root ::= <[3068]> thinking <[3069]>\nthinking ::= !<[3069]>*",
    "only tokens": "root ::= <[5]> !<[6]>{2,3} | <[6]> <[7]>",
    "tokens in common": "root ::= (<[5]> | !<[5]> !<[6]>)+",
    "tokens at the end": 'root ::= <tool_call> [a-z]+ ";" root | "(" root ")" root | </tool_call>',
    "one or no token": 'root ::= "ab" <tool_call>? ("\\n" [a-z]+)+',
}
