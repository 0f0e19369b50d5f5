// The conversations of this browser, the one that is open, and what is typed but not sent.
import { createStore } from "../lib/store.js";
import { allConversations, deleteConversation, putConversation } from "./database.js";
import { newConversation, titleOf } from "./tree.js";

/** @typedef {import("./tree.js").Conversation} Conversation */

export const conversations = createStore(/** @type {{ all: Conversation[], open: Conversation, draft: string, fault: string }} */ ({ all: [], open: newConversation(), draft: "", fault: "" }));

/** Read those that are kept; the page works without, and says so. */
export async function readConversations() {
  await orFault(async () => {
    const kept = await allConversations();
    // What has been kept since the question was asked is newer.
    conversations.set(({ all }) => {
      const here = new Set(all.map(({ id }) => id));
      const others = kept.filter(({ id }) => !here.has(id));
      return { all: [...all, ...others.sort((one, other) => other.updated - one.updated)] };
    });
  });
}

/**
 * Change the open conversation, or another one that is still being written. The list gets the open one when
 * it is kept or left: an answer changes it many times a second.
 * @param {Conversation} changed
 */
export function setConversation(changed) {
  conversations.set(({ open, all }) =>
    open.id === changed.id
      ? { open: changed }
      : { all: all.map((each) => (each.id === changed.id ? changed : each)) },
  );
}

/** The list, in which the open conversation is as it is now. */
export function listed() {
  const { all, open } = conversations.get();
  return all.map((each) => (each.id === open.id ? open : each));
}

/** The newest state of a conversation. @param {string} id @returns {Conversation | undefined} */
export function conversation(id) {
  const { open, all } = conversations.get();
  return open.id === id ? open : all.find((each) => each.id === id);
}

/** Keep a conversation, and list it first. @param {string} id */
export async function keep(id) {
  const kept = conversation(id);
  if (!kept) return;
  conversations.set(({ all }) => ({ all: [kept, ...all.filter((each) => each.id !== id)] }));
  await store(id);
}

/** Keep a conversation, and leave the list as it is. @param {string} id */
export async function store(id) {
  const kept = conversation(id);
  if (kept) await orFault(() => putConversation(kept));
}

/** Begin a new one, with the system prompt of the last. What is typed stays, as when another is opened. */
export function begin() {
  const { open } = conversations.get();
  conversations.set({ all: listed(), open: newConversation(open.system) });
}

/** Open one of those that are kept. @param {string} id */
export function openConversation(id) {
  const found = conversation(id);
  if (found) conversations.set({ all: listed(), open: found });
}

/** @param {string} id */
export async function forget(id) {
  conversations.set(({ all, open }) => ({
    all: all.filter((each) => each.id !== id),
    open: open.id === id ? newConversation(open.system) : open,
  }));
  await orFault(() => deleteConversation(id));
}

/** Those in which a text occurs, in the title or in any message. @param {Conversation[]} all @param {string} text */
export function found(all, text) {
  const wanted = text.trim().toLowerCase();
  if (!wanted) return all;
  const has = (/** @type {string} */ words) => words.toLowerCase().includes(wanted);
  return all.filter((each) => has(titleOf(each)) || Object.values(each.messages).some(({ content }) => has(content)));
}

/** @param {() => Promise<unknown>} act */
async function orFault(act) {
  try {
    await act();
  } catch (error) {
    conversations.set({ fault: `This browser keeps no conversations: ${error instanceof Error ? error.message : error}` });
  }
}
