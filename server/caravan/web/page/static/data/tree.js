// A conversation is a tree of messages: editing one and asking again make siblings, and one path is shown.

/**
 * @typedef {{ id: string, name: string, arguments: string }} Call
 * @typedef {{
 *   num_tokens?: number, num_prompt_tokens?: number, num_cached_tokens?: number,
 *   first_seconds?: number, seconds?: number, finish?: string,
 * }} Facts
 * @typedef {{
 *   id: string, parent: string | null, role: "user" | "assistant" | "tool", content: string,
 *   model?: string, reasoning?: string, calls?: Call[], callId?: string, facts?: Facts, error?: string,
 *   chosen?: string, created: number,
 * }} Message
 * @typedef {{
 *   id: string, title: string, system: string, created: number, updated: number,
 *   messages: Record<string, Message>, first: string | null,
 * }} Conversation
 */

/** A name that nothing else has. Pages of plain HTTP have no `randomUUID`. */
export function newId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** @param {string} [system] @returns {Conversation} */
export function newConversation(system = "") {
  const now = Date.now();
  return { id: newId(), title: "", system, created: now, updated: now, messages: {}, first: null };
}

/** @param {Conversation} conversation @param {string | null} parent @returns {Message[]} */
export function childrenOf(conversation, parent) {
  const all = Object.values(conversation.messages).filter((message) => message.parent === parent);
  return all.sort((one, other) => one.created - other.created || one.id.localeCompare(other.id));
}

/** The messages that are shown, from the first one on. @param {Conversation} conversation @returns {Message[]} */
export function pathOf(conversation) {
  const path = [];
  let id = conversation.first;
  while (id && conversation.messages[id]) {
    /** @type {Message} */
    const message = conversation.messages[id];
    path.push(message);
    id = message.chosen ?? null;
  }
  return path;
}

/** The path to a message, itself included. @param {Conversation} conversation @param {string | null} id */
export function pathTo(conversation, id) {
  /** @type {Message[]} */
  const path = [];
  for (let at = id ? conversation.messages[id] : undefined; at; at = at.parent ? conversation.messages[at.parent] : undefined) {
    path.unshift(at);
  }
  return path;
}

/**
 * Add a message behind `parent`, and show it there.
 * @param {Conversation} conversation
 * @param {Partial<Message> & Pick<Message, "role" | "parent">} message
 * @returns {{ conversation: Conversation, id: string }}
 */
export function withMessage(conversation, message) {
  const id = newId();
  const latest = Math.max(0, ...childrenOf(conversation, message.parent).map(({ created }) => created + 1));
  const added = { content: "", ...message, id, created: Math.max(Date.now(), latest) };
  const messages = { ...conversation.messages, [id]: /** @type {Message} */ (added) };
  return { conversation: chosen({ ...conversation, messages, updated: Date.now() }, id), id };
}

/** Lay parts over a message. @param {Conversation} conversation @param {string} id @param {Partial<Message>} part */
export function withPart(conversation, id, part) {
  const message = { ...conversation.messages[id], ...part };
  return { ...conversation, messages: { ...conversation.messages, [id]: message }, updated: Date.now() };
}

/** Show a message in the place of its siblings. @param {Conversation} conversation @param {string} id */
export function chosen(conversation, id) {
  const { parent } = conversation.messages[id];
  if (parent === null) return { ...conversation, first: id };
  const above = { ...conversation.messages[parent], chosen: id };
  return { ...conversation, messages: { ...conversation.messages, [parent]: above } };
}

/** What a conversation is called: its title, or how it begins. @param {Conversation} conversation */
export function titleOf(conversation) {
  const begin = pathOf(conversation).find(({ role }) => role === "user")?.content ?? "";
  return conversation.title || begin.trim().replace(/\s+/g, " ").slice(0, 80) || "New conversation";
}
