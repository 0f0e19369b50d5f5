"""What a grammar could cost llguidance, told before it is tried: `lark.breadth` is the way in."""
