"""JSON schemas as parts of grammars in llguidance's Lark, numbers exact where its own would round them."""
