// The body of the request that would be sent now: what the Chat sends and what the Request view shows are this.

/**
 * @typedef {import("../data/tree.js").Message} Message
 * @typedef {import("../params/settings.js").Settings} Settings
 * @typedef {{ field: string, message: string }} Fault
 */

/**
 * Build the body for a conversation's path. What the reader has written that is no JSON comes back as faults.
 * @param {{ system: string, path: Message[], settings: Settings }} from
 * @returns {{ body: Record<string, unknown>, faults: Fault[] }}
 */
export function buildBody({ system, path, settings }) {
  /** @type {Fault[]} */
  const faults = [];
  const { model, preset, parameters, thinking, toolChoice } = settings;
  const tools = toolsOf(settings.tools, faults);
  const body = {
    model,
    messages: [...(system.trim() ? [{ role: "system", content: system }] : []), ...path.map(messageOf)],
    stream: true,
    stream_options: { include_usage: true },
    ...(preset ? { preset } : {}),
    ...parameters,
    ...(thinking ? { chat_template_kwargs: { enable_thinking: thinking === "on" } } : {}),
    ...(tools ? { tools, ...(toolChoice ? { tool_choice: toolChoice } : {}) } : {}),
    ...constraintOf(settings.constraint, faults),
  };
  return { body, faults };
}

/** @param {Message} message */
function messageOf({ role, content, calls, callId, reasoning }) {
  if (role === "tool") return { role, tool_call_id: callId, content };
  if (role === "user") return { role, content };
  const toolCalls = calls?.map((call) => ({
    id: call.id,
    type: "function",
    function: { name: call.name, arguments: call.arguments },
  }));
  return {
    role,
    content,
    ...(reasoning ? { reasoning_content: reasoning } : {}),
    ...(toolCalls?.length ? { tool_calls: toolCalls } : {}),
  };
}

/** @param {string} text @param {Fault[]} faults */
function toolsOf(text, faults) {
  if (!text.trim()) return null;
  const tools = parsed(text, "tools", faults);
  return tools === undefined ? null : [tools].flat().map(asTool);
}

/** A bare function is as good as one in its wrapping. @param {any} tool */
function asTool(tool) {
  return tool?.name && !tool.type ? { type: "function", function: tool } : tool;
}

/**
 * @param {{ kind: string, text: string }} constraint
 * @param {Fault[]} faults
 * @returns {Record<string, unknown>}
 */
function constraintOf({ kind, text }, faults) {
  if (kind === "json_object") return { response_format: { type: "json_object" } };
  if (!kind || !text.trim()) return {};
  if (kind === "regex") return { regex: text };
  if (kind === "grammar") return { grammar: text };
  if (kind === "choice") return { structured_outputs: { choice: text.split("\n").filter((line) => line.trim()) } };
  const schema = parsed(text, "constraint", faults);
  if (schema === undefined) return {};
  return { response_format: { type: "json_schema", json_schema: { name: "answer", schema } } };
}

/** @param {string} text @param {string} field @param {Fault[]} faults @returns {any} */
function parsed(text, field, faults) {
  try {
    return JSON.parse(text);
  } catch (error) {
    faults.push({ field, message: `This is no JSON: ${error instanceof Error ? error.message : error}` });
    return undefined;
  }
}
