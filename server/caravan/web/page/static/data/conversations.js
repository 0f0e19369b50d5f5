// The conversations of this browser, the one that is open, and what is typed but not sent.
import { createStore } from "../lib/store.js";
import { allConversations, deleteConversation, oneConversation, putConversation } from "./database.js";
import { newConversation, titleOf } from "./tree.js";

/** @typedef {import("./tree.js").Conversation} Conversation */

/**
 * @typedef {{ all: Conversation[], open: Conversation, draft: string, fault: string, deleted: Conversation | null }} State
 */
export const conversations = createStore(/** @type {State} */ ({ all: [], open: newConversation(), draft: "", fault: "", deleted: null }));

// Tells this page in other tabs which conversation has changed.
const tabs = new BroadcastChannel("caravan.conversations");

/**
 * Take over what other tabs keep and delete, but for what `isBusy` says is being written here.
 * @param {(id: string) => boolean} isBusy
 */
export function followOtherTabs(isBusy) {
  tabs.onmessage = async ({ data: id }) => {
    if (typeof id !== "string" || isBusy(id)) return;
    await orFault(async () => {
      const kept = await oneConversation(id);
      if (kept) conversations.set(({ all, open }) => ({ all: firstInPlace(all, kept), open: open.id === id ? kept : open }));
      else conversations.set((state) => without(state, id));
    });
  };
}

/** The list with a conversation in its old place, or as the first one. @param {Conversation[]} all @param {Conversation} kept */
function firstInPlace(all, kept) {
  return all.some(({ id }) => id === kept.id) ? all.map((each) => (each.id === kept.id ? kept : each)) : [kept, ...all];
}

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
  conversations.set(({ all }) => ({ all: [kept, ...all.filter((each) => each.id !== id)], deleted: null }));
  await store(id);
}

/** Keep a conversation, and leave the list as it is. @param {string} id */
export async function store(id) {
  const kept = conversation(id);
  if (!kept) return;
  await orFault(() => putConversation(kept));
  tabs.postMessage(id);
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

/** Delete a conversation; `undelete` brings the last one back. @param {string} id */
export async function forget(id) {
  conversations.set((state) => ({ ...without(state, id), deleted: conversation(id) ?? null }));
  await orFault(() => deleteConversation(id));
  tabs.postMessage(id);
}

/** Bring back what was deleted last, and open it. */
export async function undelete() {
  const { deleted } = conversations.get();
  if (!deleted) return;
  conversations.set({ all: [deleted, ...listed()], open: deleted, deleted: null });
  await store(deleted.id);
}

/** @param {State} state @param {string} id */
function without({ all, open }, id) {
  return { all: all.filter((each) => each.id !== id), open: open.id === id ? newConversation(open.system) : open };
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
