// Conversations as a file, and back.
import { conversations } from "./conversations.js";
import { putConversation } from "./database.js";

const FORMAT = "caravan-conversations";

/** @param {import("./tree.js").Conversation[]} all */
export function exported(all) {
  return JSON.stringify({ format: FORMAT, version: 1, conversations: all }, null, 2);
}

/**
 * Keep the conversations of a file; one that is here already is replaced. Raises Error with words for the reader.
 * @param {string} text
 * @returns {Promise<number>} how many there are
 */
export async function imported(text) {
  const read = conversationsOf(text);
  for (const each of read) await putConversation(each);
  const ids = new Set(read.map(({ id }) => id));
  conversations.set(({ all, open }) => ({
    all: [...read, ...all.filter(({ id }) => !ids.has(id))].sort((one, other) => other.updated - one.updated),
    open: read.find(({ id }) => id === open.id) ?? open,
  }));
  return read.length;
}

/** @param {string} text @returns {import("./tree.js").Conversation[]} */
function conversationsOf(text) {
  let read;
  try {
    read = JSON.parse(text);
  } catch {
    throw new Error("This file is no JSON.");
  }
  if (read?.format !== FORMAT || !Array.isArray(read.conversations)) {
    throw new Error("This file has no conversations that were exported here.");
  }
  if (!read.conversations.every(isConversation)) throw new Error("A conversation in this file is broken.");
  return read.conversations;
}

/** @param {any} read */
function isConversation(read) {
  const texts = [read?.id, read?.title, read?.system];
  if (!texts.every((text) => typeof text === "string") || typeof read.messages !== "object" || !read.messages) return false;
  const { messages, first } = read;
  const isNumbered = Number.isFinite(read.updated) && Number.isFinite(read.created);
  const isBegun = first === null || (Object.hasOwn(messages, first) && messages[first]?.parent === null);
  const isWhole = Object.entries(messages).every(([id, message]) => isMessage(id, message, messages));
  return isNumbered && isBegun && isWhole && hasNoCircle(messages);
}

/** Whether each message comes, over its parents, from a first one. @param {Record<string, { parent: string | null }>} messages */
function hasNoCircle(messages) {
  /** @type {Set<string>} */
  const sure = new Set();
  for (const id of Object.keys(messages)) {
    /** @type {Set<string>} */
    const passed = new Set();
    for (let at = /** @type {string | null} */ (id); at !== null && !sure.has(at); at = messages[at].parent) {
      if (passed.has(at)) return false;
      passed.add(at);
    }
    for (const each of passed) sure.add(each);
  }
  return true;
}

/** @param {string} id @param {any} message @param {Record<string, any>} all */
function isMessage(id, message, all) {
  const isKnown = ["user", "assistant", "tool"].includes(message?.role) && typeof message.content === "string";
  const isPlaced = message?.id === id && (message.parent === null || Object.hasOwn(all, message.parent));
  const { chosen, calls = [], facts = {} } = message ?? {};
  const isLed = chosen === undefined || (Object.hasOwn(all, chosen) && all[chosen]?.parent === id);
  const areTexts = isText(message, "model", "reasoning", "callId", "error");
  const areCalls = Array.isArray(calls) && calls.every(isCall);
  const areFacts = Object(facts) === facts && Object.values(facts).every((fact) => ["number", "string"].includes(typeof fact));
  return isKnown && isPlaced && isLed && areTexts && areCalls && areFacts && Number.isFinite(message.created);
}

/** What is not there may be missing. @param {any} object @param {...string} names */
function isText(object, ...names) {
  return names.every((name) => object?.[name] === undefined || typeof object[name] === "string");
}

/** @param {any} call */
function isCall(call) {
  return ["id", "name", "arguments"].every((name) => typeof call?.[name] === "string");
}

/** Have the browser save a text. @param {string} name @param {string} text */
export function download(name, text) {
  const url = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
