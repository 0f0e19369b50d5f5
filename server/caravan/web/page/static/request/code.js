// A request as code that sends it.

// What OpenAI's own SDK takes by name; the rest goes with it as `extra_body`.
const OPENAIS = new Set(
  ("messages model frequency_penalty logit_bias logprobs top_logprobs max_tokens max_completion_tokens n presence_penalty " +
    "response_format seed stop stream stream_options temperature top_p tools tool_choice parallel_tool_calls user " +
    "reasoning_effort verbosity metadata store").split(" "),
);

/**
 * @typedef {Record<string, unknown>} Body
 * @typedef {{ body: Body, base: string, hasKey: boolean }} Sent
 */

/** @param {Sent} sent */
export function asJson({ body }) {
  return JSON.stringify(body, null, 2);
}

/** @param {Sent} sent */
export function asCurl({ body, base, hasKey }) {
  return [
    `curl -N ${base}/chat/completions \\`,
    "  -H 'Content-Type: application/json' \\",
    ...(hasKey ? ['  -H "Authorization: Bearer $CARAVAN_KEY" \\'] : []),
    `  -d '${JSON.stringify(body, null, 2).replaceAll("'", `'\\''`)}'`,
  ].join("\n");
}

/** @param {Sent} sent */
export function asPython({ body, base, hasKey }) {
  const entries = Object.entries(body);
  const known = entries.filter(([name]) => OPENAIS.has(name));
  const more = Object.fromEntries(entries.filter(([name]) => !OPENAIS.has(name)));
  const lines = known.map(([name, value]) => `    ${name}=${python(value, 1)},`);
  if (Object.keys(more).length) lines.push(`    extra_body=${python(more, 1)},`);
  const key = hasKey ? 'os.environ["CARAVAN_KEY"]' : '"none"';
  return [
    ...(hasKey ? ["import os", ""] : []),
    "from openai import OpenAI",
    "",
    `client = OpenAI(base_url="${base}", api_key=${key})`,
    "stream = client.chat.completions.create(",
    ...lines,
    ")",
    "for chunk in stream:",
    "    for choice in chunk.choices:",
    '        print(choice.delta.content or "", end="", flush=True)',
    "",
  ].join("\n");
}

/** @param {Sent} sent */
export function asJavaScript({ body, base, hasKey }) {
  return [
    `const response = await fetch("${base}/chat/completions", {`,
    '  method: "POST",',
    "  headers: {",
    '    "Content-Type": "application/json",',
    ...(hasKey ? ["    Authorization: `Bearer ${process.env.CARAVAN_KEY}`,"] : []),
    "  },",
    `  body: JSON.stringify(${indented(JSON.stringify(body, null, 2), "  ")}),`,
    "});",
    "const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();",
    'let text = "";',
    "for (let part = await reader.read(); !part.done; part = await reader.read()) text += part.value;",
    'for (const line of text.split("\\n")) {',
    '  if (!line.startsWith("data: {")) continue;',
    "  const { choices } = JSON.parse(line.slice(6));",
    '  if (choices[0]?.delta.content) console.log(choices[0].delta.content);',
    "}",
    "",
  ].join("\n");
}

/** A value in Python's words. @param {unknown} value @param {number} depth @returns {string} */
export function python(value, depth = 0) {
  const begin = "    ".repeat(depth + 1);
  const end = "    ".repeat(depth);
  if (value === null || value === undefined) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (typeof value === "string") return pythonText(value);
  if (typeof value !== "object") return String(value);
  const isList = Array.isArray(value);
  const items = isList
    ? value.map((item) => python(item, depth + 1))
    : Object.entries(value).map(([name, item]) => `${pythonText(name)}: ${python(item, depth + 1)}`);
  const [open, close] = isList ? ["[", "]"] : ["{", "}"];
  if (!items.length) return open + close;
  const short = `${open}${items.join(", ")}${close}`;
  if (short.length < 70 && !short.includes("\n")) return short;
  return `${open}\n${items.map((item) => `${begin}${item},\n`).join("")}${end}${close}`;
}

/** JSON's escapes are Python's, but for halves of pairs, which JSON may leave as they are. @param {string} text */
function pythonText(text) {
  return JSON.stringify(text).replace(/\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}/g, (pair) => JSON.parse(`"${pair}"`));
}

/** @param {string} text @param {string} by */
function indented(text, by) {
  return text.replaceAll("\n", `\n${by}`);
}
