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
  const isNumbered = Number.isFinite(read.updated) && Number.isFinite(read.created);
  return isNumbered && Object.entries(read.messages).every(([id, message]) => isMessage(id, message, read.messages));
}

/** @param {string} id @param {any} message @param {Record<string, unknown>} all */
function isMessage(id, message, all) {
  const isKnown = ["user", "assistant", "tool"].includes(message?.role) && typeof message.content === "string";
  const isPlaced = message?.id === id && (message.parent === null || message.parent in all);
  return isKnown && isPlaced && Number.isFinite(message.created);
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
