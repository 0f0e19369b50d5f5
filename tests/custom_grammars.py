"""Grammars that users bind the input of custom tools with, in Lark, and texts of theirs."""

# As OpenAI publishes it for its models that edit files.
APPLY_PATCH = """start: begin_patch hunk+ end_patch
begin_patch: "*** Begin Patch" LF
end_patch: "*** End Patch" LF?

hunk: add_hunk | delete_hunk | update_hunk
add_hunk: "*** Add File: " filename LF add_line+
delete_hunk: "*** Delete File: " filename LF
update_hunk: "*** Update File: " filename LF change_move? change?

filename: /(.+)/
add_line: "+" /(.*)/ LF -> line

change_move: "*** Move to: " filename LF
change: (change_context | change_line)+ eof_line?
change_context: ("@@" | "@@ " /(.+)/) LF
change_line: ("+" | "-" | " ") /(.*)/ LF
eof_line: "*** End of File" LF

%import common.LF
"""

ARITHMETIC = """
start: expr
expr: term (("+" | "-") term)*
term: factor (("*" | "/") factor)*
factor: NUMBER | NAME | "(" expr ")"
%import common.NUMBER
%import common.CNAME -> NAME
%import common.WS
%ignore WS
"""

STRINGS = r"""
// Terminals with quotes, backslashes, line feeds and letters of other scripts.
start: item ("," item)*
item: STRING | path | "a\"b\\c\nd" | /[\u00e9é😀]+/ | "Q\t"i | "x".."z" ~ 2..3
path: "C:" ("\\" SEGMENT)+
SEGMENT: /[a-z]+/
STRING: /"(\\.|[^"\\])*"/
COMMENT: /#[^\n]*/ "\n"
%ignore /[ \n\t]+/
%ignore COMMENT
"""

COMPLEMENTS = r"""
start: FIRST rest{0,3}
FIRST: /(?s:.)*/ & ~/(?s:.*)\n\n(?s:.*)/ & /[ab\n"]{2,5}/
rest: ("x" | "\n"){1,3} "\t" ~"\\"
"""

LINES = r"""
start: line{1,3} "\"end\""
line: /[+-]/ SIGN? /[^\n]{0,12}/ "\n"
SIGN: "\\" | "\t" | "\""
"""

EXAMPLES = {
    APPLY_PATCH: [
        "*** Begin Patch\n*** Delete File: a\n*** End Patch",
        '*** Begin Patch\n*** Add File: a "b".txt\n+h\u00e9\\n\tx\n+\n*** Update File: C:\\x\n'
        '*** Move to: y\n@@ def f():\n-a\n+"b"\n@@\n \n*** End of File\n*** End Patch\n',
    ],
    ARITHMETIC: ["1", "(a_1 + 2.5e3)\n\t* (3 - x)/4 "],
    STRINGS: ['"a\\"b\\\\"', 'a"b\\c\nd,C:\\ab\\c ,\n"\\"\n😀" # "no\n,\u00e9é', "q\t,Q\t,xyz"],
    LINES: ['+\n"end"', '-"\\\\a"\n+\t\t\n-é😀\n"end"'],
    COMPLEMENTS: ['"\n', 'a\nb"\nx\n\t"x\t\n'],
}
OUTSIDE = {
    APPLY_PATCH: ["", "*** Begin Patch\n*** End Patch", "*** Begin Patch\n*** Add File: a\n*** End Patch\n"],
    ARITHMETIC: ["", "1 +", "(1", "1 \\n+ 2", "1\n2"],
    STRINGS: ['"a', '"a"b"', "C:ab", "q\n", "xyzx"],
    LINES: ['"end"', '+1234567890123456\n"end"', "+\nend"],
    COMPLEMENTS: ["a", "a\n\nb", "abx\t\\"],
}
